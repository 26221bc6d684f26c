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
// tcgetpgrp(3) says, else the command's process group. "" says that none of them
// waits for the input that [Process.Write] gives. An error means that it cannot be
// seen.
func (p *Process) WaitsForInput() (InputWait, error) {
	if !p.input.kept {
		return "", nil
	}
	in, group, err := p.foreground()
	if err != nil {
		return "", err
	}
	pids, err := p.membersOf(group)
	if err != nil {
		return "", err
	}
	var wait InputWait
	for _, pid := range pids {
		tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		for _, task := range tasks {
			id, _ := strconv.Atoi(task.Name())
			if s, err := procfs.ReadStat(id); err != nil || s.State != 'S' {
				continue // it runs, or is stopped and would not read
			}
			found, err := in.waits(pid, task.Name())
			switch {
			case errors.Is(err, os.ErrPermission):
				return "", err
			case found == InputCertain:
				return found, nil
			case found != "":
				wait = found
			}
		}
	}
	return wait, nil
}

// membersOf returns what lives of the command's session in a process group.
func (p *Process) membersOf(group int) (pids []int, err error) {
	if p.domain.group {
		err = procfs.Pids(func(pid int) {
			if s, alive, _ := procfs.Living(pid); alive && s.Group == group && s.Session == p.pid {
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
		if s.Group == group {
			pids = append(pids, s.Pid)
		}
	}
	return pids, err
}

// source is what a command reads, as its processes show it.
type source struct {
	tty        bool
	dev, inode uint64 // of a pipe
	rdev       uint64 // of a terminal
}

// foreground returns the input and the process group that may read it.
func (p *Process) foreground() (in source, group int, err error) {
	raw, err := p.input.file.SyscallConn()
	if err != nil {
		return in, 0, err
	}
	group = p.pid
	var callErr error
	err = raw.Control(func(fd uintptr) {
		if !p.input.tty {
			var st unix.Stat_t
			callErr = unix.Fstat(int(fd), &st)
			in.dev, in.inode = st.Dev, st.Ino
			return
		}
		in.tty = true
		var number uint32
		if number, callErr = unix.IoctlGetUint32(int(fd), unix.TIOCGPTN); callErr == nil {
			in.rdev = unix.Mkdev(136+number>>8, number&0xff) // UNIX98_PTY_SLAVE_MAJOR, 256 to each major number
			group, callErr = unix.IoctlGetInt(int(fd), unix.TIOCGPGRP)
		}
	})
	return in, group, errors.Join(err, callErr)
}

// is says that a descriptor of a process is the input, or the terminal by its other
// name.
func (in source) is(pid int, fd int32) bool {
	var st unix.Stat_t
	if fd < 0 || unix.Stat(fmt.Sprintf("/proc/%d/fd/%d", pid, fd), &st) != nil {
		return false
	}
	if !in.tty {
		return st.Dev == in.dev && st.Ino == in.inode
	}
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && (st.Rdev == in.rdev || st.Rdev == unix.Mkdev(5, 0)) // tty(4)
}

// waits says how a thread waits for the input.
func (in source) waits(pid int, task string) (InputWait, error) {
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
		if in.is(pid, int32(args[0])) {
			return InputCertain, nil
		}
	case sysPoll, unix.SYS_PPOLL:
		polled = in.inPoll(pid, args[0], args[1])
	case sysSelect, unix.SYS_PSELECT6:
		polled = in.inSelect(pid, args[0], args[1])
	case sysEpollWait, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2:
		polled = in.inEpoll(pid, int(args[0]))
	}
	if polled {
		return InputPolled, nil
	}
	return "", nil
}

// mostPolled is how many descriptors of one call are looked at.
const mostPolled = 1024

// inPoll says that the input is among the pollfd structures at an address (poll(2)).
func (in source) inPoll(pid int, address, count uint64) bool {
	const size = 8
	memory := peekMemory(pid, address, size*min(count, mostPolled))
	for ; len(memory) >= size; memory = memory[size:] {
		fd := int32(binary.NativeEndian.Uint32(memory))
		if events := binary.NativeEndian.Uint16(memory[4:]); events&unix.POLLIN != 0 && in.is(pid, fd) {
			return true
		}
	}
	return false
}

// inSelect says that the input is in the set of bits at an address (select(2)).
func (in source) inSelect(pid int, count, address uint64) bool {
	count = min(count, mostPolled)
	memory := peekMemory(pid, address, (count+63)/64*8)
	for fd := range int32(count) {
		word := int(fd) / 64 * 8
		if word+8 <= len(memory) && binary.NativeEndian.Uint64(memory[word:])>>(fd%64)&1 != 0 && in.is(pid, fd) {
			return true
		}
	}
	return false
}

// inEpoll says that an epoll instance watches the input (proc_pid_fdinfo(5)).
func (in source) inEpoll(pid, epoll int) bool {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, epoll))
	for line := range bytes.Lines(text) {
		fields := strings.Fields(string(line))
		if len(fields) < 4 || fields[0] != "tfd:" {
			continue
		}
		fd, _ := strconv.ParseInt(fields[1], 10, 32)
		events, _ := strconv.ParseUint(fields[3], 16, 32)
		if events&unix.EPOLLIN != 0 && in.is(pid, int32(fd)) {
			return true
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
