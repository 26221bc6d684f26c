package spawn

import (
	"errors"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// setPipeSize does nothing: macOS sizes pipes by itself.
func setPipeSize(_, _ int) bool { return false }

const ioctlUnread = 0x4004667f // FIONREAD: how many bytes wait to be read

// systemDomain is what a signal reaches on macOS.
const systemDomain = KillDomainProcessGroup

const bareDomain = systemDomain

// domain is empty but for who watches the group.
type domain struct {
	pending chan struct{} // of one: a signal was sent
}

func (p *Process) fork(path string, argv []string, _ string, attr *syscall.ProcAttr) (err error) {
	p.domain.pending = make(chan struct{}, 1)
	p.pid, err = syscall.ForkExec(path, argv, attr)
	return err
}

func (p *Process) leaderEndedLocked()  {}
func (p *Process) distrustLocked(Exit) {}

// surelyEmpty says no: nothing tells it in a moment.
func (p *Process) surelyEmpty() bool { return false }

func (p *Process) emptyLocked() bool {
	left, err := p.reapedMembersLocked()
	return err == nil && len(left) == 0
}

func (p *Process) linger() { p.spawner.wg.Go(func() { p.watchGroup(p.domain.pending) }) }
func (p *Process) leave()  { p.announce() }

// announce tells who watches the group that it is time to look.
func (p *Process) announce() {
	select {
	case p.domain.pending <- struct{}{}:
	default:
	}
}

func (p *Process) membersLocked() ([]Member, error) { return p.groupMembersLocked() }

func (p *Process) signalLocked(sig unix.Signal) error {
	p.announce()
	return p.signalGroupLocked(sig)
}

func (p *Process) killLocked() error { return p.signalLocked(unix.SIGKILL) }

// waitid(2), which golang.org/x/sys/unix does not wrap here.
const (
	waitPid     = 1    // P_PID
	waitExited  = 0x04 // WEXITED
	waitStopped = 0x08 // WSTOPPED
	waitNoReap  = 0x20 // WNOWAIT
)

// waitid returns the signal number of the report, 0 when there was none.
func waitid(pid, options int) (int32, error) {
	var info [16]uint64 // siginfo_t, larger than it is
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, waitPid, uintptr(pid), uintptr(unsafe.Pointer(&info)), uintptr(options), 0, 0)
		if errno == 0 {
			return *(*int32)(unsafe.Pointer(&info)), nil
		}
		if errno != syscall.EINTR {
			return 0, errno
		}
	}
}

// awaitExit returns when a child has ended and is not reaped yet. It blocks a
// thread.
func awaitExit(pid int) { waitid(pid, waitExited|waitNoReap) }

// runs says that a child has not ended.
func runs(pid int) bool {
	signo, err := waitid(pid, waitExited|waitNoReap|unix.WNOHANG)
	return err == nil && signo == 0
}

// AnySuspended says yes: each is to be asked.
func (s *Spawner) AnySuspended() bool { return true }

// Suspended says that a signal has stopped the command.
func (p *Process) Suspended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return false
	}
	signo, err := waitid(p.pid, waitStopped|waitNoReap|unix.WNOHANG)
	return err == nil && signo != 0
}

// signalReapedLocked signals the members of a reaped leader's group one by one:
// macOS has no handle of a group, and the number alone may belong to another.
func (p *Process) signalReapedLocked(sig unix.Signal) error {
	members, err := groupMembers(p.pid)
	if err == nil {
		err = unix.ESRCH
	}
	for _, m := range members {
		if unix.Kill(m.Pid, sig) == nil {
			err = nil
		}
	}
	return err
}

// reapedMembersLocked returns the living members after the leader was reaped.
func (p *Process) reapedMembersLocked() ([]Member, error) { return groupMembers(p.pid) }

// groupMembers asks the kernel for the living processes of the group.
func groupMembers(id int) ([]Member, error) {
	list, err := unix.SysctlKinfoProcSlice("kern.proc.pgrp", id)
	if err != nil {
		return nil, err
	}
	states := map[int8]string{1: "I", 2: "R", 3: "S", 4: "T"} // SIDL … SSTOP; 5 is SZOMB
	var members []Member
	for _, k := range list {
		if state, alive := states[k.Proc.P_stat]; alive {
			members = append(members, Member{
				Pid:     int(k.Proc.P_pid),
				Command: unix.ByteSliceToString(k.Proc.P_comm[:]),
				State:   state,
			})
		}
	}
	return members, nil
}

// Usage is not to be had of what runs.
func (p *Process) Usage() (Usage, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return p.used, nil
	}
	return p.used, errors.ErrUnsupported
}

func (p *Process) usageLocked() (Usage, error) { return p.used, nil }
func (p *Process) finalUsageLocked() Usage     { return p.used }
func (p *Process) limitsReached() []Limit      { return nil }

func usageOf(r *unix.Rusage) Usage {
	return Usage{
		User: time.Duration(r.Utime.Nano()), System: time.Duration(r.Stime.Nano()),
		MaxRSS: r.Maxrss, // bytes on macOS
	}
}

// pipeCloexec holds the fork lock, since macOS has no pipe2.
func pipeCloexec(fds *[2]int) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := unix.Pipe(fds[:]); err != nil {
		return err
	}
	unix.CloseOnExec(fds[0])
	unix.CloseOnExec(fds[1])
	return nil
}
