package inspect

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

// Input is what a command reads, as its processes show it.
type Input struct {
	pipe string // its name in /proc/PID/fd; "" is a terminal
	pts  string // the end of the name of a terminal
	rdev uint64 // of a terminal
	// Foreground is the process group that may read a terminal, -1 if there is none.
	// 0 is a pipe, which everybody may read.
	Foreground int
}

// PipeInput returns the input whose other end is a pipe of ours.
func PipeInput(fd int) (Input, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return Input{pipe: fmt.Sprintf("pipe:[%d]", st.Ino)}, err
}

// TerminalInput returns the input from a terminal whose other end is ours. Its
// foreground is what tcgetpgrp(3) says.
func TerminalInput(fd int) (in Input, err error) {
	number, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err != nil {
		return in, err
	}
	in.pts = fmt.Sprintf("/%d", number)
	in.rdev = unix.Mkdev(136+number>>8, number&0xff) // UNIX98_PTY_SLAVE_MAJOR, 256 to each major number
	if in.Foreground, err = unix.IoctlGetInt(fd, unix.TIOCGPGRP); in.Foreground == 0 {
		in.Foreground = -1
	}
	return in, err
}

// WaitsForInput looks in which system call each thread of some processes is blocked
// (proc_pid_syscall(5)), and on what. "" means that none was found to wait for the
// input: a look costs some 20 ms at most. An error means that it cannot be seen.
func WaitsForInput(pids []int, in Input) (InputWait, error) {
	l := look{Input: in, left: mostLooked, seen: map[descriptor]bool{}}
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

const (
	// mostLooked bounds a look, in descriptors: a command may have any number of
	// threads, each of which polls any number of descriptors.
	mostLooked = 8192
	// taskCost is what looking at a thread costs, in descriptors, beside its own.
	taskCost = 8
	// mostPolled is how many descriptors of one call are looked at.
	mostPolled = 1024
	// mostRestarted is how many descriptors are looked at of a call that a signal has
	// interrupted: it may be another call, whose arguments mean something else.
	mostRestarted = 64
)

// look is one look at who reads an input.
type look struct {
	Input
	left int
	seen map[descriptor]bool // whether it is the input, or an epoll instance that watches it
}

type descriptor struct {
	pid, fd int
	epoll   bool // the question is whether, as an epoll instance, it watches the input
}

// spend reports whether so much is left of the look, and takes it.
func (l *look) spend(n int) bool {
	l.left -= n
	return l.left >= 0
}

// remembered returns the result of find for a descriptor, and calls it only once.
func (l *look) remembered(d descriptor, find func(pid, fd int) bool) bool {
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

// is reports whether a descriptor of a process is the input, or the terminal by its other
// name.
func (l *look) is(pid, fd int) bool { return l.remembered(descriptor{pid, fd, false}, l.isInput) }

// isInput asks a file system, which may not answer, only for what it has in memory.
func (l *look) isInput(pid, fd int) bool {
	path := fmt.Sprintf("/proc/%d/fd/%d", pid, fd)
	name, err := os.Readlink(path)
	if err != nil || l.pipe != "" {
		return err == nil && name == l.pipe
	}
	if !strings.HasSuffix(name, l.pts) && !strings.HasSuffix(name, "/tty") {
		return false
	}
	var st unix.Statx_t
	err = unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &st)
	rdev := unix.Mkdev(st.Rdev_major, st.Rdev_minor)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && (rdev == l.rdev || rdev == unix.Mkdev(5, 0)) // tty(4)
}

// waits returns how a thread waits for the input.
func (l *look) waits(pid int, task string) (InputWait, error) {
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

// inPoll reports whether the input is among the pollfd structures at an address (poll(2)).
func (l *look) inPoll(pid int, address, count uint64) bool {
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

// inSelect reports whether the input is in the set of bits at an address (select(2)).
func (l *look) inSelect(pid int, count, address uint64) bool {
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

// inEpoll reports whether an epoll instance watches the input (proc_pid_fdinfo(5)).
func (l *look) inEpoll(pid, epoll int) bool {
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
