//go:build unix

package spawn

import (
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/lockorder"
)

// domain is the kill domain of one command.
type domain interface {
	// leaderEnded is called once the exit was seen, perhaps twice: a kill goes on.
	leaderEnded()
	// awaitGone returns true once nothing is alive, and false when it was abandoned. The
	// leader was reaped.
	awaitGone() bool
	// abandon ends awaitGone, also one that is called later. It may be called twice.
	abandon()

	// The others are called while life.pin is held and the domain is not closed, or by
	// whoever closes it.

	// signal sends a signal to everything. ErrNotRunning: nothing was left to receive it.
	// What SIGKILL does not end at once it goes on to end.
	signal(sig unix.Signal) error
	// living returns what is alive, the command included.
	living() ([]living, error)
	// signalOne signals what living has returned, if it still is that process.
	signalOne(l living, sig unix.Signal) error
	// gone reports whether nothing is alive. The leader was reaped.
	gone() bool
	// reaped is called when the leader was reaped.
	reaped(Exit)
	// correct replaces figures by more exact ones, where the system has them.
	correct(u *Usage)
	// limitsReached returns the limits that were met.
	limitsReached() []Limit

	// release gives back what the domain has of the host, once it is closed.
	release()
}

// group is the process group that a command leads. It is all of the kill domain where
// nothing leads to what has left it.
type group struct {
	life
	pid       int
	pidfd     int           // the kernel's handle of the leader, -1 where there is none
	launcher  string        // the name of the launcher's own processes; "" if there is none, or the command has the same
	changed   chan struct{} // of one: a signal was sent, or the domain was abandoned
	abandoned atomic.Bool
	dead      account // what the processes have used that were reaped
}

func (g *group) init(launcher string) {
	g.pidfd, g.launcher, g.changed = -1, launcher, make(chan struct{}, 1)
}

func (g *group) signal(sig unix.Signal) error {
	defer g.announce()
	if err, behind := signalBehind(g, g.launcher, sig); behind {
		return err
	}
	return g.signalGroup(sig)
}

// signalGroup signals the members of the process group.
func (g *group) signalGroup(sig unix.Signal) error {
	lockorder.Slow()
	var err error
	if g.isReaped() {
		err = signalReaped(g.pid, g.pidfd, sig)
	} else {
		err = unix.Kill(-g.pid, sig)
	}
	if err == unix.ESRCH {
		return ErrNotRunning
	}
	return err
}

// signalBehind signals what a launcher runs, and spares the launcher, if the launcher
// stays and there is something behind it; then behind is true. Bubblewrap, for example,
// stays as the leader and as process 1 of a new pid namespace. It passes no signal on:
// SIGTERM would end it and, with it, all that it runs, before a trap of the command could
// do anything. SIGKILL, SIGSTOP and SIGCONT go to everything. A process that the launcher
// has forked counts as its own until it runs another program: it has the same name.
func signalBehind(d domain, launcher string, sig unix.Signal) (err error, behind bool) {
	if launcher == "" || sig == unix.SIGKILL || sig == unix.SIGSTOP || sig == unix.SIGCONT {
		return nil, false
	}
	list, err := d.living()
	own := func(l living) bool { return l.Command == launcher }
	if err != nil || !slices.ContainsFunc(list, own) {
		return nil, false
	}
	err = ErrNotRunning
	for _, l := range list {
		if !own(l) {
			behind = true
			err = sent(d.signalOne(l, sig), err)
		}
	}
	return err, behind
}

// sent combines the result of one more attempt to signal with the result so far. One
// success is enough, and a refusal is worth more than that nothing was there.
func sent(attempt, before error) error {
	if attempt == nil || attempt != unix.ESRCH && before == ErrNotRunning {
		return attempt
	}
	return before
}

func (g *group) signalOne(l living, sig unix.Signal) error { return signalMember(l, g.pid, sig) }

func (g *group) living() ([]living, error) {
	if g.isReaped() {
		return reapedMembers(g.pid, g.pidfd)
	}
	return groupMembers(g.pid)
}

func (g *group) gone() bool {
	left, err := g.living()
	return err == nil && len(left) == 0
}

func (g *group) leaderEnded() {}

func (g *group) reaped(e Exit) { g.dead.add(e.Usage) }

func (g *group) abandon() {
	g.abandoned.Store(true)
	g.announce()
}

func (g *group) correct(*Usage) {}

func (g *group) limitsReached() []Limit { return nil }

func (g *group) release() {}

// announce has awaitGone look at once.
func (g *group) announce() {
	select {
	case g.changed <- struct{}{}:
	default:
	}
}

// awaitGone looks again and again: the kernel announces the end of processes that are
// not our children to nobody. The pause grows to a second, and starts anew when a
// signal was sent.
func (g *group) awaitGone() bool {
	const first, longest = time.Millisecond, time.Second
	for pause := first; !g.abandoned.Load(); pause = min(2*pause, longest) {
		if g.gone() {
			return true
		}
		if g.pause(pause) {
			pause = first / 2
		}
	}
	return false
}

// pause waits for some time, and returns true at once when announce is called.
func (g *group) pause(d time.Duration) (announced bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return false
	case <-g.changed:
		return true
	}
}
