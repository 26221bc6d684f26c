package procfs

import (
	"syscall"
	"unsafe"
)

// What package os would do, which the guard cannot use.

// read reads a small file of /proc in one go.
func read(path string, buf []byte) ([]byte, error) {
	fd, err := open(path)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	n, err := readFd(fd, buf)
	return buf[:max(n, 0)], err
}

func open(path string) (int, error) {
	for {
		fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		if err != syscall.EINTR {
			return fd, err
		}
	}
}

// openOf opens a file in the directory of a process. It allocates nothing: see Dir.
func openOf(pid int, name string) (int, error) {
	var buf [64]byte // "/proc/", 20 digits, "/", a name, and a zero byte
	path := append(buf[:0], "/proc/"...)
	path = appendInt(path, pid)
	path = append(path, '/')
	path = append(path, name...)
	path = append(path, 0)
	for {
		here := -100 // AT_FDCWD
		fd, _, errno := syscall.Syscall6(syscall.SYS_OPENAT, uintptr(here), uintptr(unsafe.Pointer(&path[0])), syscall.O_RDONLY|syscall.O_CLOEXEC, 0, 0, 0)
		switch errno {
		case 0:
			return int(fd), nil
		case syscall.EINTR:
		default:
			return -1, errno
		}
	}
}

// readOf reads a small file in the directory of a process in one go.
func readOf(pid int, name string, buf []byte) ([]byte, error) {
	fd, err := openOf(pid, name)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	n, err := readFd(fd, buf)
	return buf[:max(n, 0)], err
}

func readFd(fd int, buf []byte) (int, error) {
	for {
		n, err := syscall.Read(fd, buf)
		if err != syscall.EINTR {
			return n, err
		}
	}
}

// atoi reads a number without sign; anything else is 0.
func atoi(text []byte) (n uint64) {
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + uint64(c-'0')
	}
	return n
}

func itoa(n int) string { return string(appendInt(nil, n)) }

func appendInt(text []byte, n int) []byte {
	var buf [20]byte
	i := len(buf)
	for {
		i--
		buf[i] = byte('0' + n%10)
		if n /= 10; n == 0 {
			return append(text, buf[i:]...)
		}
	}
}

func write(path, text string) error {
	fd, err := syscall.Open(path, syscall.O_WRONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	_, err = syscall.Write(fd, []byte(text))
	return err
}

// entries calls visit for every name in a directory, without "." and "..".
func entries(path string, visit func(name []byte)) error {
	fd, err := open(path)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	return entriesOf(fd, make([]byte, entriesBytes), visit)
}

// entriesBytes is how much of a directory is read at a time.
const entriesBytes = 16 << 10

// entriesOf is entries for a directory that is open.
func entriesOf(fd int, buf []byte, visit func(name []byte)) error {
	for {
		n, err := syscall.ReadDirent(fd, buf)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			return err
		}
		for rest := buf[:n]; len(rest) > 0; {
			// struct linux_dirent64 of getdents64(2). The last one may be shorter
			// than syscall.Dirent, which no pointer may be made to then.
			const nameAt, lengthAt = int(unsafe.Offsetof(syscall.Dirent{}.Name)), unsafe.Offsetof(syscall.Dirent{}.Reclen)
			length := *(*uint16)(unsafe.Pointer(&rest[lengthAt]))
			name := rest[nameAt:length]
			for i, c := range name {
				if c == 0 {
					name = name[:i]
					break
				}
			}
			rest = rest[length:]
			if string(name) != "." && string(name) != ".." {
				visit(name)
			}
		}
	}
}

func index(text []byte, sub string) int {
	for i := 0; i+len(sub) <= len(text); i++ {
		if string(text[i:i+len(sub)]) == sub {
			return i
		}
	}
	return -1
}

// short reports whether an error is the lack of descriptors.
func short(err error) bool { return err == syscall.EMFILE || err == syscall.ENFILE }
