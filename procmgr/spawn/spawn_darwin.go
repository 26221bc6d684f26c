package spawn

import (
	"errors"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// systemDomain is what a signal reaches on macOS.
const systemDomain = KillDomainProcessGroup

const bareDomain = systemDomain

// fork starts the program of a command.
func (s *Spawner) fork(path string, argv []string, _ *Command, attr *syscall.ProcAttr) (*group, domain, error) {
	g := &group{}
	g.init("") // a launcher is not spared
	var err error
	g.pid, err = syscall.ForkExec(path, argv, attr)
	return g, g, err
}

// living is what is known of a living process.
type living = Member

func member(l living) Member { return l }

// signalReaped signals the members of a reaped leader's group one by one: macOS has no
// handle of a group, and the number alone may belong to another.
func signalReaped(group, _ int, sig unix.Signal) error {
	list, err := groupMembers(group)
	if err == nil {
		err = unix.ESRCH
	}
	for _, l := range list {
		if signalMember(l, group, sig) == nil {
			err = nil
		}
	}
	return err
}

func signalMember(l living, _ int, sig unix.Signal) error { return unix.Kill(l.Pid, sig) }

func reapedMembers(group, _ int) ([]living, error) { return groupMembers(group) }

// groupMembers asks the kernel for the living processes of the group.
func groupMembers(id int) ([]living, error) {
	list, err := unix.SysctlKinfoProcSlice("kern.proc.pgrp", id)
	if err != nil {
		return nil, err
	}
	states := map[int8]string{1: "I", 2: "R", 3: "S", 4: "T"} // SIDL … SSTOP; 5 is SZOMB
	var members []living
	for _, k := range list {
		if state, alive := states[k.Proc.P_stat]; alive {
			members = append(members, living{
				Pid:     int(k.Proc.P_pid),
				Command: unix.ByteSliceToString(k.Proc.P_comm[:]),
				State:   state,
			})
		}
	}
	return members, nil
}

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

// runs reports whether a child has not ended.
func runs(pid int) bool {
	signo, err := waitid(pid, waitExited|waitNoReap|unix.WNOHANG)
	return err == nil && signo == 0
}

// isStopped reports whether a signal has stopped a child.
func isStopped(pid int) bool {
	signo, err := waitid(pid, waitStopped|waitNoReap|unix.WNOHANG)
	return err == nil && signo != 0
}

// AnySuspended reports true: each is to be asked.
func (s *Spawner) AnySuspended() bool { return true }

// usage is only known of what has ended.
func usage(_ domain, dead *account) (Usage, error) { return dead.sum(), errors.ErrUnsupported }

func usageOf(r *unix.Rusage) Usage {
	return Usage{
		User: time.Duration(r.Utime.Nano()), System: time.Duration(r.Stime.Nano()),
		MaxRSS: r.Maxrss, // bytes on macOS
	}
}
