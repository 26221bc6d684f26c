package spawn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// WaitsForInput looks in which system call the processes of the foreground are
// blocked (proc_pid_syscall(5)), and on what. In a terminal the foreground is what
// tcgetpgrp(3) says; a pipe has none, and whoever reads it counts. "" says that none
// of them was found to wait for the input that [Process.Write] gives: a look costs
// some 20 ms at most. An error means that it cannot be seen.
func (p *Process) WaitsForInput() (InputWait, error) {
	if !p.input.kept {
		return "", nil
	}
	in, err := p.source()
	if err != nil {
		return "", err
	}
	pids, err := p.readers(in.group)
	if err != nil {
		return "", err
	}
	l := inputLook{source: in, left: mostLooked, seen: map[descriptor]bool{}}
	var wait InputWait
	var unseen error
	for _, pid := range pids {
		tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		for _, task := range tasks {
			if !l.spend(taskCost) {
				return wait, unseen
			}
			id, _ := strconv.Atoi(task.Name())
			if s, err := procfs.ReadStat(id); err != nil || s.State != 'S' {
				continue // it runs, or is stopped and would not read
			}
			found, err := l.waits(pid, task.Name())
			switch {
			case errors.Is(err, os.ErrPermission):
				unseen = err // another one may be seen
			case found == InputCertain:
				return found, nil
			case found != "":
				wait, unseen = found, nil
			}
		}
	}
	return wait, unseen
}

// readers returns what lives in a process group of the command's session, or if that
// is 0, all that the kill domain holds.
func (p *Process) readers(group int) (pids []int, err error) {
	if p.domain.group {
		err = procfs.Pids(func(pid int) {
			if s, alive, _ := procfs.Living(pid); alive && s.Session == p.pid && (group == 0 || s.Group == group) {
				pids = append(pids, pid)
			}
		})
		return pids, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return nil, nil
	}
	found, err := p.spawner.host.find(p, !p.reaped, false)
	for _, s := range found {
		if group == 0 || s.Group == group {
			pids = append(pids, s.Pid)
		}
	}
	return pids, err
}

// source is what a command reads, as its processes show it.
type source struct {
	name  string // of a pipe in /proc/PID/fd; "" is a terminal
	pts   string // the end of a terminal's
	rdev  uint64 // of a terminal
	group int    // the foreground of a terminal; 0 is all
}

// source returns the input.
func (p *Process) source() (in source, err error) {
	raw, err := p.input.file.SyscallConn()
	if err != nil {
		return in, err
	}
	var callErr error
	err = raw.Control(func(fd uintptr) {
		if !p.input.tty {
			var st unix.Stat_t
			callErr = unix.Fstat(int(fd), &st)
			in.name = fmt.Sprintf("pipe:[%d]", st.Ino)
			return
		}
		var number uint32
		if number, callErr = unix.IoctlGetUint32(int(fd), unix.TIOCGPTN); callErr == nil {
			in.pts = fmt.Sprintf("/%d", number)
			in.rdev = unix.Mkdev(136+number>>8, number&0xff) // UNIX98_PTY_SLAVE_MAJOR, 256 to each major number
			if in.group, callErr = unix.IoctlGetInt(int(fd), unix.TIOCGPGRP); in.group == 0 {
				in.group = -1 // nothing is in the foreground
			}
		}
	})
	return in, errors.Join(err, callErr)
}

const (
	// mostLooked bounds a look, in descriptors: a command may have any number of
	// threads that poll any number of them.
	mostLooked = 8192
	// taskCost is what a thread costs beside its descriptors.
	taskCost = 8
	// mostPolled is how many descriptors of one call are looked at.
	mostPolled = 1024
	// mostRestarted is how many those of a call that a signal has interrupted can be:
	// it may be another one whose arguments mean something else.
	mostRestarted = 64
)

// inputLook is one look at who reads a source.
type inputLook struct {
	source
	left int
	seen map[descriptor]bool // whether it is the source, or an epoll instance that watches it
}

type descriptor struct {
	pid, fd int
	epoll   bool // it is looked at as an epoll instance
}

// spend says whether there is so much left of the look.
func (l *inputLook) spend(n int) bool {
	l.left -= n
	return l.left >= 0
}

// remembered is what find says of a descriptor, which is asked once.
func (l *inputLook) remembered(d descriptor, find func(pid, fd int) bool) bool {
	if d.fd < 0 || !l.spend(1) {
		return false
	}
	found, ok := l.seen[d]
	if !ok {
		found = find(d.pid, d.fd)
		l.seen[d] = found
	}
	return found
}

// is says that a descriptor of a process is the input, or the terminal by its other
// name.
func (l *inputLook) is(pid, fd int) bool { return l.remembered(descriptor{pid, fd, false}, l.isSource) }

// isSource asks no file system, which may not answer, for anything but what it has.
func (l *inputLook) isSource(pid, fd int) bool {
	path := fmt.Sprintf("/proc/%d/fd/%d", pid, fd)
	name, err := os.Readlink(path)
	if err != nil || l.name != "" {
		return err == nil && name == l.name
	}
	if !strings.HasSuffix(name, l.pts) && !strings.HasSuffix(name, "/tty") {
		return false
	}
	var st unix.Statx_t
	err = unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &st)
	rdev := unix.Mkdev(st.Rdev_major, st.Rdev_minor)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && (rdev == l.rdev || rdev == unix.Mkdev(5, 0)) // tty(4)
}

// waits says how a thread waits for the input.
func (l *inputLook) waits(pid int, task string) (InputWait, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/syscall", pid, task))
	if err != nil {
		return "", err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 7 {
		return "", nil // it runs
	}
	number, err := strconv.Atoi(fields[0])
	if err != nil {
		return "", nil
	}
	var args [6]uint64
	for i := range args {
		args[i], _ = strconv.ParseUint(strings.TrimPrefix(fields[1+i], "0x"), 16, 64)
	}
	polled := false
	switch number {
	case unix.SYS_READ, unix.SYS_READV:
		if l.is(pid, int(int32(args[0]))) {
			return InputCertain, nil
		}
	case sysPoll, unix.SYS_PPOLL:
		polled = l.inPoll(pid, args[0], args[1])
	case unix.SYS_RESTART_SYSCALL: // after SIGCONT
		polled = args[1] <= mostRestarted && l.inPoll(pid, args[0], args[1])
	case sysSelect, unix.SYS_PSELECT6:
		polled = l.inSelect(pid, args[0], args[1])
	case sysEpollWait, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2:
		polled = l.remembered(descriptor{pid, int(int32(args[0])), true}, l.inEpoll)
	}
	if polled {
		return InputPolled, nil
	}
	return "", nil
}

// inPoll says that the input is among the pollfd structures at an address (poll(2)).
func (l *inputLook) inPoll(pid int, address, count uint64) bool {
	const size = 8
	memory := peekMemory(pid, address, size*min(count, mostPolled))
	for ; len(memory) >= size; memory = memory[size:] {
		fd := int32(binary.NativeEndian.Uint32(memory))
		if events := binary.NativeEndian.Uint16(memory[4:]); events&unix.POLLIN != 0 && l.is(pid, int(fd)) {
			return true
		}
	}
	return false
}

// inSelect says that the input is in the set of bits at an address (select(2)).
func (l *inputLook) inSelect(pid int, count, address uint64) bool {
	count = min(count, mostPolled)
	memory := peekMemory(pid, address, (count+63)/64*8)
	for fd := range int(count) {
		word := fd / 64 * 8
		if word+8 <= len(memory) && binary.NativeEndian.Uint64(memory[word:])>>(fd%64)&1 != 0 && l.is(pid, fd) {
			return true
		}
	}
	return false
}

// inEpoll says that an epoll instance watches the input (proc_pid_fdinfo(5)).
func (l *inputLook) inEpoll(pid, epoll int) bool {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, epoll))
	for line := range bytes.Lines(text) {
		fields := strings.Fields(string(line))
		if len(fields) < 4 || fields[0] != "tfd:" {
			continue
		}
		fd, _ := strconv.Atoi(fields[1])
		events, _ := strconv.ParseUint(fields[3], 16, 32)
		if events&unix.EPOLLIN != 0 && l.is(pid, fd) {
			return true
		}
		if l.left < 0 {
			break
		}
	}
	return false
}

// peekMemory returns what is at an address of another process, or nothing.
func peekMemory(pid int, address, size uint64) []byte {
	if address == 0 || size == 0 {
		return nil
	}
	memory := make([]byte, size)
	local := []unix.Iovec{{Base: unsafe.SliceData(memory)}}
	local[0].SetLen(len(memory))
	n, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: uintptr(address), Len: int(size)}}, 0)
	if err != nil {
		return nil
	}
	return memory[:n]
}
