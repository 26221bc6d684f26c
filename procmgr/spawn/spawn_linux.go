package spawn

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

const ioctlUnread = unix.TIOCINQ // FIONREAD: how many bytes wait to be read

// handle is a pidfd, parked in the poller.
type handle struct{ file *os.File }

func (h handle) close() {
	if h.file != nil {
		h.file.Close()
	}
}

func forkExec(path string, argv []string, attr *syscall.ProcAttr) (int, handle, error) {
	pidfd := -1
	attr.Sys.PidFD = &pidfd
	pid, err := syscall.ForkExec(path, argv, attr)
	if err != nil || pidfd < 0 {
		return pid, handle{}, err
	}
	unix.SetNonblock(pidfd, true) // makes os.NewFile use the poller
	return pid, handle{os.NewFile(uintptr(pidfd), "pidfd")}, nil
}

// awaitExit returns when the command has ended and is not reaped yet.
func (p *Process) awaitExit() {
	if p.handle.file != nil {
		if raw, err := p.handle.file.SyscallConn(); err == nil {
			ended := false
			err = raw.Read(func(fd uintptr) bool {
				ended = !stillRuns(unix.P_PIDFD, int(fd), unix.WNOHANG)
				return ended
			})
			if err == nil && ended {
				return
			}
		}
	}
	// No pidfd: a thread waits.
	stillRuns(unix.P_PID, p.pid, 0)
}

// stillRuns looks without reaping. Any error counts as an end: there is nothing
// to wait for.
func stillRuns(idType, id, flags int) bool {
	for {
		var info unix.Siginfo
		err := unix.Waitid(idType, id, &info, unix.WEXITED|unix.WNOWAIT|flags, nil)
		if err != unix.EINTR {
			return err == nil && info.Signo == 0
		}
	}
}

// Suspended says that a signal has stopped the command.
func (p *Process) Suspended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return false
	}
	// WNOWAIT leaves the state to be reported again, as long as it lasts.
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, p.pid, &info, unix.WSTOPPED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err == nil && info.Signo != 0
}

// signalReapedLocked signals the group of a reaped leader. The pidfd still names
// that very group: pidfd_send_signal(2), PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9.
// Older kernels refuse it, and each member is signalled through a pidfd of its own.
func (p *Process) signalReapedLocked(sig unix.Signal) error {
	if err, ok := p.signalByHandle(sig); ok {
		return err
	}
	members, err := groupMembers(p.pid)
	if err == nil {
		err = unix.ESRCH
	}
	for _, m := range members {
		if signalMember(m.Pid, p.pid, sig) == nil {
			err = nil
		}
	}
	return err
}

func (p *Process) signalByHandle(sig unix.Signal) (err error, supported bool) {
	if p.handle.file == nil {
		return nil, false
	}
	raw, err := p.handle.file.SyscallConn()
	if err != nil {
		return nil, false
	}
	controlErr := raw.Control(func(fd uintptr) {
		err = unix.PidfdSendSignal(int(fd), sig, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP)
	})
	if controlErr != nil || err == unix.EINVAL || err == unix.ENOSYS {
		return nil, false
	}
	return err, true
}

// signalMember signals pid if it still is a member of the group: the pidfd pins
// the process, then the membership is looked at once more.
func signalMember(pid, group int, sig unix.Signal) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, ok, err := groupMember(pid, group); err != nil || !ok {
		return unix.ESRCH
	}
	return unix.PidfdSendSignal(fd, sig, nil, 0)
}

// reapedMembersLocked returns the living members after the leader was reaped.
func (p *Process) reapedMembersLocked() ([]Member, error) {
	if err, ok := p.signalByHandle(0); ok && err == unix.ESRCH {
		return nil, nil
	}
	// A signal also counts zombies, so look at the states.
	return groupMembers(p.pid)
}

// errBlind says that /proc does not show what there is.
var errBlind = errors.New("/proc does not show this program's own process")

// groupMembers scans /proc for living processes whose group and session are id.
// An error means that it could not look, which proves nothing.
func groupMembers(id int) ([]Member, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var members []Member
	self, seen := os.Getpid(), false
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		seen = seen || pid == self
		m, ok, err := groupMember(pid, id)
		if err != nil {
			return nil, err
		}
		if ok {
			members = append(members, m)
		}
	}
	if !seen {
		return nil, errBlind
	}
	return members, nil
}

// groupMember reads proc_pid_stat(5): "pid (comm) state ppid pgrp session …".
// The name may hold anything, so the fields are counted from its last bracket.
func groupMember(pid, group int) (m Member, ok bool, err error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH):
		return Member{}, false, nil // it is gone
	case err != nil:
		return Member{}, false, err
	}
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return Member{}, false, nil
	}
	fields := bytes.Fields(stat[end+1:])
	id := strconv.Itoa(group)
	if len(fields) < 4 || string(fields[2]) != id || string(fields[3]) != id {
		return Member{}, false, nil
	}
	state := string(fields[0])
	if state == "Z" || state == "X" {
		return Member{}, false, nil
	}
	return Member{Pid: pid, Command: string(stat[open+1 : end]), State: state}, true, nil
}

func maxRSS(usage *unix.Rusage) int64 { return usage.Maxrss << 10 } // the kernel counts KiB

func pipeCloexec(fds *[2]int) error { return unix.Pipe2(fds[:], unix.O_CLOEXEC) }
