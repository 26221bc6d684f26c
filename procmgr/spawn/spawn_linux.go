package spawn

import (
	"bytes"
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
	err := error(unix.ESRCH)
	for _, m := range groupMembers(p.pid) {
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
	if _, ok := groupMember(pid, group); !ok {
		return unix.ESRCH
	}
	return unix.PidfdSendSignal(fd, sig, nil, 0)
}

// groupEmptyLocked says that nothing of the group is alive. It is asked only
// after the leader is reaped.
func (p *Process) groupEmptyLocked() bool {
	if err, ok := p.signalByHandle(0); ok && err == unix.ESRCH {
		return true
	}
	// A signal also counts zombies, so look at the states.
	return len(groupMembers(p.pid)) == 0
}

// groupMembers scans /proc for living processes whose group and session are id.
func groupMembers(id int) []Member {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var members []Member
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			if m, ok := groupMember(pid, id); ok {
				members = append(members, m)
			}
		}
	}
	return members
}

// groupMember reads proc_pid_stat(5): "pid (comm) state ppid pgrp session …".
// The name may hold anything, so the fields are counted from its last bracket.
func groupMember(pid, group int) (Member, bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return Member{}, false
	}
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return Member{}, false
	}
	fields := bytes.Fields(stat[end+1:])
	id := strconv.Itoa(group)
	if len(fields) < 4 || string(fields[2]) != id || string(fields[3]) != id {
		return Member{}, false
	}
	state := string(fields[0])
	if state == "Z" || state == "X" {
		return Member{}, false
	}
	return Member{Pid: pid, Command: string(stat[open+1 : end]), State: state}, true
}

func maxRSS(usage *unix.Rusage) int64 { return usage.Maxrss << 10 } // the kernel counts KiB

func pipeCloexec(fds *[2]int) error { return unix.Pipe2(fds[:], unix.O_CLOEXEC) }
