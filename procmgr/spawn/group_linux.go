package spawn

import (
	"cmp"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/lockorder"
	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// living is what is known of a living process.
type living = procfs.Stat

func member(s living) Member { return Member{s.Pid, s.Command, string(s.State)} }

// signalReaped signals the group of a reaped leader. The pidfd still names that very
// group: pidfd_send_signal(2), PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9. Older kernels
// refuse it, and each member is signalled through a pidfd of its own.
func (g *group) signalReaped(sig unix.Signal) error {
	if err, ok := g.signalByHandle(sig); ok {
		return err
	}
	list, err := groupMembers(g.pid)
	if err == nil {
		err = unix.ESRCH
	}
	for _, s := range list {
		if g.signalOne(s, sig) == nil {
			err = nil
		}
	}
	return err
}

func (g *group) signalByHandle(sig unix.Signal) (err error, supported bool) {
	if g.pidfd < 0 {
		return nil, false
	}
	err = unix.PidfdSendSignal(g.pidfd, sig, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP)
	if err == unix.EINVAL || err == unix.ENOSYS {
		return nil, false
	}
	return err, true
}

func (g *group) signalOne(s living, sig unix.Signal) error {
	return procfs.Signal(s.Pid, sig, func() bool {
		now, err := procfs.ReadStat(s.Pid)
		return err == nil && inGroup(now, g.pid)
	})
}

func (g *group) living() ([]living, error) {
	if g.isReaped() {
		if err, ok := g.signalByHandle(0); ok && err == unix.ESRCH {
			return nil, nil
		}
		// A signal also counts zombies, so look at the states.
	}
	return groupMembers(g.pid)
}

// groupMembers searches /proc for living processes whose group and session are id. An
// error means that it could not look, which proves nothing.
func groupMembers(id int) (list []living, err error) {
	lockorder.Slow()
	var failed error
	err = procfs.Pids(func(pid int) {
		s, alive, err := procfs.Living(pid)
		if alive && inGroup(s, id) {
			list = append(list, s)
		}
		failed = cmp.Or(err, failed)
	})
	return list, cmp.Or(err, failed)
}

func inGroup(s living, id int) bool { return s.Alive() && s.Pgrp == id && s.Session == id }
