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

// signalReaped signals the group of a reaped leader. The pidfd, if there is one, still
// names that very group: pidfd_send_signal(2), PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9.
// Older kernels refuse it, and each member is signalled through a pidfd of its own.
func signalReaped(group, pidfd int, sig unix.Signal) error {
	if err, ok := signalByHandle(pidfd, sig); ok {
		return err
	}
	list, err := groupMembers(group)
	if err == nil {
		err = unix.ESRCH
	}
	for _, s := range list {
		if signalMember(s, group, sig) == nil {
			err = nil
		}
	}
	return err
}

func signalByHandle(pidfd int, sig unix.Signal) (err error, supported bool) {
	if pidfd < 0 {
		return nil, false
	}
	err = unix.PidfdSendSignal(pidfd, sig, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP)
	if err == unix.EINVAL || err == unix.ENOSYS {
		return nil, false
	}
	return err, true
}

// signalMember signals a process, if it still is in the group.
func signalMember(s living, group int, sig unix.Signal) error {
	return procfs.Signal(s.Pid, sig, func() bool {
		now, err := procfs.ReadStat(s.Pid)
		return err == nil && inGroup(now, group)
	})
}

// reapedMembers returns the living members of the group of a reaped leader.
func reapedMembers(group, pidfd int) ([]living, error) {
	if err, ok := signalByHandle(pidfd, 0); ok && err == unix.ESRCH {
		return nil, nil
	}
	// A signal also counts zombies, so look at the states.
	return groupMembers(group)
}

// groupMembers searches /proc for the living processes of a group and of the session of
// the same number. An error means that it could not look, which proves nothing.
func groupMembers(group int) (list []living, err error) {
	lockorder.Slow()
	var failed error
	err = procfs.Pids(func(pid int) {
		s, alive, err := procfs.Living(pid)
		if alive && inGroup(s, group) {
			list = append(list, s)
		}
		failed = cmp.Or(err, failed)
	})
	return list, cmp.Or(err, failed)
}

func inGroup(s living, group int) bool {
	return s.Alive() && s.Pgrp == group && s.Session == group
}
