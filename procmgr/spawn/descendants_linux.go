package spawn

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/lockorder"
)

// descendants is the kill domain of everything that a command forked, as far as parents,
// adoption, marks and a cgroup lead to it.
type descendants struct {
	tree
	kill kill

	watching lockorder.Mutex[watchingPlace] // guards the field below
	orphan   handle                         // awaitGone waits for it
}

type watchingPlace struct{}

func (watchingPlace) Place() (int, bool) { return 140, false }

// signal signals the group, then each living process outside of it. It spares a launcher
// that stays (signalBehind).
func (d *descendants) signal(sig unix.Signal) error {
	if sig == unix.SIGKILL {
		defer d.announce()
		return d.kill.begin()
	}
	if err, behind := signalBehind(d, d.launcher, sig); behind {
		d.announce()
		return err
	}
	err := d.signalGroup(sig)
	// A parent can die of the signal in the middle of a look. Its children then come to
	// us after our list was read, and this look misses them. The next one finds them.
	const most = 3
	known := map[identity]bool{}
	for looks, more := 1, true; more && looks <= most; looks++ {
		found, findErr := d.living()
		if findErr != nil && err != nil {
			return findErr
		}
		more = looks == 1
		for _, s := range found {
			if known[identify(s)] {
				continue
			}
			known[identify(s)], more = true, true
			// Members of the group have the signal already, unless the kernel could not
			// signal the group of a reaped leader.
			if err == nil && s.Pgrp == d.pid && s.Session == d.pid {
				continue
			}
			err = sent(d.signalOne(s, sig), err)
		}
	}
	return err
}

func (d *descendants) living() ([]living, error) { return d.host.adoption.find(&d.tree, false) }

func (d *descendants) signalOne(s living, sig unix.Signal) error {
	return d.host.adoption.signal(&d.tree, s, sig)
}

func (d *descendants) gone() bool { return d.host.adoption.gone(&d.tree) }

func (d *descendants) leaderEnded() { d.kill.orphansLeft() }

func (d *descendants) reaped(e Exit) {
	d.tree.reaped(e)
	if e.Signal == "SIGKILL" && !d.kill.begun() {
		d.cgroup.Spoil() // perhaps by somebody who wrote to its cgroup.kill
	}
}

// awaitGone waits for the end of one orphan after the other. When one dies, what it has
// forked comes to us.
func (d *descendants) awaitGone() bool {
	const first, longest = time.Millisecond, time.Second
	for pause := first; !d.abandoned.Load(); pause = min(2*pause, longest) {
		if d.gone() {
			return true
		}
		d.kill.orphansLeft()
		if d.awaitOrphan() {
			pause = first / 2
			continue
		}
		// Something lives that cannot be waited for: the kernel has no pidfds, or the
		// process is in the cgroup and no child of ours.
		d.pause(pause)
	}
	return false
}

// awaitOrphan waits until one of the orphans has ended, and returns at once if there is
// none. It returns false if it cannot wait for what there is, or the domain was
// abandoned.
func (d *descendants) awaitOrphan() bool {
	pidfd, err := d.host.adoption.openOrphan(&d.tree)
	if err != nil || pidfd < 0 {
		return err == nil && !d.cgroup.Populated()
	}
	orphan := park(pidfd)
	defer orphan.close()
	d.watching.Lock()
	d.orphan = orphan
	d.watching.Unlock()
	return !d.abandoned.Load() && orphan.await()
}

func (d *descendants) abandon() {
	d.group.abandon()
	d.watching.Lock()
	defer d.watching.Unlock()
	d.orphan.close()
}
