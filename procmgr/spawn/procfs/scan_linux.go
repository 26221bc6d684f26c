package procfs

import (
	"syscall"
)

// Pids calls visit for every process that /proc shows. After an error, what was not
// visited may exist: /proc cannot be read, or does not even show the caller.
func Pids(visit func(pid int)) error {
	proc, err := OpenProc()
	if err != nil {
		return err
	}
	defer proc.Close()
	return proc.Pids(visit)
}

// Dir is /proc, kept open, with the memory to read it: a guard whose right to more was
// taken away must go on.
type Dir struct {
	fd  int
	buf []byte
}

// OpenProc opens it.
func OpenProc() (Dir, error) {
	fd, err := open("/proc")
	return Dir{fd, make([]byte, entriesBytes)}, err
}

// Close closes it.
func (d Dir) Close() { _ = syscall.Close(d.fd) }

// Pids is Pids without opening anything.
func (d Dir) Pids(visit func(pid int)) error {
	if _, err := syscall.Seek(d.fd, 0, 0); err != nil {
		return err
	}
	self, seen := syscall.Getpid(), false
	err := entriesOf(d.fd, d.buf, func(name []byte) {
		if pid := int(atoi(name)); pid > 0 {
			seen = seen || pid == self
			visit(pid)
		}
	})
	if err == nil && !seen {
		err = syscall.ENOENT
	}
	return err
}

// Children calls visit for every child of a process, zombies included
// (proc_pid_task_tid_children(5): children are listed by the thread that forked
// them). An error that is not ENOENT or ESRCH means that the kernel has no such
// lists.
func Children(pid int, visit func(pid int)) error {
	tasks := "/proc/" + itoa(pid) + "/task"
	var first error
	err := entries(tasks, func(tid []byte) {
		if err := ChildrenOf(tasks+"/"+string(tid)+"/children", visit); err != nil && first == nil {
			first = err
		}
	})
	if err == nil {
		err = first
	}
	return err
}

// ChildrenOf calls visit for every number in one list of children.
func ChildrenOf(path string, visit func(pid int)) error {
	fd, err := open(path)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	return eachNumber(func(buf []byte, _ int64) (int, error) { return readFd(fd, buf) }, visit)
}

// ReadChildren is ChildrenOf for a list that is kept open.
func ReadChildren(fd int, visit func(pid int)) error {
	return eachNumber(func(buf []byte, at int64) (int, error) {
		for {
			n, err := syscall.Pread(fd, buf, at)
			if err != syscall.EINTR {
				return n, err
			}
		}
	}, visit)
}

// eachNumber reads numbers that blanks divide.
func eachNumber(read func(buf []byte, at int64) (int, error), visit func(n int)) error {
	var buf [512]byte
	number, at := 0, int64(0)
	for {
		n, err := read(buf[:], at)
		if err != nil || n == 0 {
			if number > 0 {
				visit(number)
			}
			return err
		}
		at += int64(n)
		for _, c := range buf[:n] {
			if c >= '0' && c <= '9' {
				number = number*10 + int(c-'0')
			} else if number > 0 {
				visit(number)
				number = 0
			}
		}
	}
}
