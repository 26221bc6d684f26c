package spawn

import (
	"cmp"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// setPipeSize changes how much a pipe holds, see F_SETPIPE_SZ in fcntl(2). It
// fails for a user who has too much in pipes, and when more is in it.
func setPipeSize(fd, bytes int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, bytes)
	return err == nil
}

const ioctlUnread = unix.TIOCINQ // FIONREAD: how many bytes wait to be read

// bareDomain is what a signal reaches when the program has set nothing up.
const bareDomain = KillDomainProcessGroup

// handle is a pidfd, parked in the poller.
type handle struct{ file *os.File }

func (h handle) close() {
	if h.file != nil {
		h.file.Close()
	}
}

// forkExec starts a program and returns its pid and, unless the kernel refuses
// one, a pidfd. Kernels before 5.2 know of none, and a system call filter may
// refuse it; refused remembers that.
func forkExec(path string, argv []string, attr *syscall.ProcAttr, refused *atomic.Bool) (pid, pidfd int, err error) {
	pidfd = -1
	if !refused.Load() {
		attr.Sys.PidFD = &pidfd
		pid, err = syscall.ForkExec(path, argv, attr)
		if err != syscall.ENOSYS && err != syscall.EINVAL && err != syscall.EPERM {
			return pid, pidfd, err
		}
		attr.Sys.PidFD = nil
	}
	pid, without := syscall.ForkExec(path, argv, attr)
	if without == nil && err != nil {
		refused.Store(true)
	}
	return pid, -1, without
}

// awaitExit returns when a child has ended and is not reaped yet. It blocks a
// thread.
func awaitExit(pid int) { stillRuns(unix.P_PID, pid, 0) }

// runs says that a child has not ended.
func runs(pid int) bool { return stillRuns(unix.P_PID, pid, unix.WNOHANG) }

// awaitPidfd returns true when a child has ended, and false when there is no
// pidfd to wait for or it was closed.
func awaitPidfd(h handle) (ended bool) {
	if h.file == nil {
		return false
	}
	raw, err := h.file.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Read(func(fd uintptr) bool {
		ended = !stillRuns(unix.P_PIDFD, int(fd), unix.WNOHANG)
		return ended
	})
	return err == nil && ended
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

// AnySuspended says that a signal has stopped a child of this program.
func (s *Spawner) AnySuspended() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_ALL, 0, &info, unix.WSTOPPED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err == nil && info.Signo != 0
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
		if procfs.Signal(m.Pid, sig, func() bool { return isInGroup(m.Pid, p.pid) }) == nil {
			err = nil
		}
	}
	return err
}

func (p *Process) signalByHandle(sig unix.Signal) (err error, supported bool) {
	if p.pidfd < 0 || p.gone {
		return nil, false
	}
	err = unix.PidfdSendSignal(p.pidfd, sig, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP)
	if err == unix.EINVAL || err == unix.ENOSYS {
		return nil, false
	}
	return err, true
}

// reapedMembersLocked returns the living members after the leader was reaped.
func (p *Process) reapedMembersLocked() ([]Member, error) {
	if err, ok := p.signalByHandle(0); ok && err == unix.ESRCH {
		return nil, nil
	}
	// A signal also counts zombies, so look at the states.
	return groupMembers(p.pid)
}

// groupMembers scans /proc for living processes whose group and session are id.
// An error means that it could not look, which proves nothing.
func groupMembers(id int) ([]Member, error) {
	var members []Member
	var failed error
	err := procfs.Pids(func(pid int) {
		s, alive, err := procfs.Living(pid)
		if alive && inGroup(s, id) {
			members = append(members, member(s))
		}
		failed = cmp.Or(err, failed)
	})
	return members, cmp.Or(err, failed)
}

func isInGroup(pid, id int) bool {
	s, err := procfs.ReadStat(pid)
	return err == nil && inGroup(s, id)
}

func inGroup(s procfs.Stat, id int) bool { return s.Alive() && s.Group == id && s.Session == id }

func member(s procfs.Stat) Member { return Member{s.Pid, s.Command, string(s.State)} }

func pipeCloexec(fds *[2]int) error { return unix.Pipe2(fds[:], unix.O_CLOEXEC) }
