package spawn

import (
	"cmp"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/lockorder"
	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// adoption is the program as the parent of its commands' orphans. They become children
// of its main thread, which forks nothing. So if that thread has no children, no command
// has left an orphan.
type adoption struct {
	marks
	adopts bool // orphans become children of the main thread
	lists  bool // the kernel lists children
	own    int  // the main thread's list of children, kept open; -1 without lists
	reaper reaper

	exclusive   bool // the program starts nothing but commands
	sealed      bool // all that it forks has its seal
	privileged  bool // and may break it
	others      others
	threadLists threadLists

	// mu guards the fields below. While it is held no orphan is reaped, so that no number
	// changes hands. It is held across looks through /proc and signals, and the loop
	// never takes it.
	mu     lockorder.Mutex[adoptionPlace]
	owners map[int]*tree // of orphans, nil if nobody knows
	doubts doubts

	testHookLook atomic.Pointer[func()] // called in the middle of find
}

type adoptionPlace struct{}

func (a *adoption) init(self procfs.Instance) {
	a.self, a.own = self, -1
	a.owners, a.reaper.wake = map[int]*tree{}, make(chan struct{}, 1)
	a.doubts.init()
}

func (adoptionPlace) Place() (int, bool) { return 20, true }

// errNoOwner reports that the owner of an orphan is not known yet.
var errNoOwner = errors.New("an orphan is not known yet")

// execTicks is how long an orphan without an owner may still get one, in clock ticks
// from its start.
const execTicks = 100

// childless reports whether the main thread has no children, so that no command has left
// an orphan. It takes less than a microsecond. A descendant that adopts orphans itself
// hides them, but only while it lives, and then it is an orphan or descends from one.
func (a *adoption) childless() bool {
	if !a.lists {
		return false
	}
	var buf [1]byte
	n, err := unix.Pread(a.own, buf[:], 0)
	return n == 0 && err == nil
}

// gone reports whether nothing of a tree is alive. Its leader was reaped before.
func (a *adoption) gone(t *tree) bool {
	// A cgroup also shows what the list of children does not: what has entered another
	// pid namespace.
	if t.cgroup.Populated() {
		return false
	}
	if a.quiet(t) {
		return true
	}
	list, err := a.orphans(t)
	return err == nil && len(list) == 0
}

// orphans returns the living orphans of a tree, and reaps the dead.
func (a *adoption) orphans(t *tree) ([]living, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.orphansLocked(t)
}

func (a *adoption) orphansLocked(t *tree) (alive []living, err error) {
	lockorder.Slow()
	if !a.lists {
		return a.searchUntilStillLocked(t)
	}
	var failed error
	dead := map[int]bool{}
	for again := true; again; {
		// The children of a process come to the list before it shows as dead. So when
		// a dead one is seen for the first time, the list is read again.
		again, alive = false, alive[:0]
		doubtful := false
		err = a.visitLocked(t, func(pid int) {
			owner := a.decideLocked(pid)
			if owner != nil && owner != t {
				return
			}
			if a.reapLocked(pid) {
				again = true
				return
			}
			// A tracer can keep a dead one from being reaped (ptrace(2)).
			s, lives, statErr := procfs.Living(pid)
			switch {
			case statErr != nil:
				failed = statErr
			case !lives && !dead[pid]:
				dead[pid], again = true, true
			case lives && (owner == t || a.condemnedLocked(pid, t)):
				alive = append(alive, s)
			case lives && owner == nil && !t.carries.any() && s.Start+execTicks > bootTicks():
				// Its environment cannot be read in the middle of an exec.
				failed = errNoOwner
			}
			doubtful = doubtful || owner == nil
		})
		if !doubtful {
			clear(a.doubts.former)
		}
		if err = cmp.Or(err, failed); err != nil {
			return nil, err
		}
	}
	return alive, nil
}

// search looks at every process of the machine for the mark of a tree. It finds the
// leader as well. Where the kernel has no lists, the caller holds a.mu.
func (a *adoption) search(t *tree) (alive []living, err error) {
	lockorder.Slow()
	var failed error
	err = procfs.Pids(func(pid int) {
		if !a.carries(pid, t) {
			return
		}
		s, lives, statErr := procfs.Living(pid)
		switch {
		case lives && a.comesFrom(s, t):
			alive = append(alive, s)
		case !lives && statErr == nil && !a.lists && s.Ppid == a.self.Pid && pid != t.pid:
			// What it has used must be counted before the tree counts as gone.
			a.owners[pid] = t
			a.reapLocked(pid)
		}
		failed = cmp.Or(statErr, failed)
	})
	return alive, cmp.Or(err, failed)
}

// searchUntilStillLocked searches again while it finds nothing and something was forked
// meanwhile. A search misses a process that is forked behind it by one that dies before
// the search gets there. It gives up after some searches, for a machine may fork without
// end.
func (a *adoption) searchUntilStillLocked(t *tree) (alive []living, err error) {
	const most = 8
	for range most {
		last := procfs.LastPid()
		alive, err = a.search(t)
		if err != nil || len(alive) > 0 || procfs.LastPid() == last {
			break
		}
	}
	return alive, err
}

// comesFrom reports whether a process with the mark of a tree belongs to it. Where the
// program forks by other means, a tag alone proves nothing: a child that it forks while
// a command is forked has it as well.
func (a *adoption) comesFrom(s living, t *tree) bool {
	return a.exclusive && t.carries.locks || a.descends(s, t)
}

// descends reports whether a process comes from a tree's leader or from an orphan, and
// not from a child that the program has by other means.
func (a *adoption) descends(s living, t *tree) bool {
	for s.Pid != t.pid {
		if s.Ppid == a.self.Pid {
			return a.isOrphan(s.Pid)
		}
		parent, err := procfs.ReadStat(s.Ppid)
		if err != nil || parent.Start > s.Start {
			// Its parent has just died. The next look shows the new one.
			return false
		}
		s = parent
	}
	return true
}

// isOrphan reports whether the main thread is a process's parent. Where the kernel has
// no lists of children nothing tells an orphan from a child that the program has by
// other means: see Exclude.
func (a *adoption) isOrphan(pid int) (found bool) {
	if !a.lists {
		return true
	}
	_ = procfs.ReadChildren(a.own, func(child int) { found = found || child == pid })
	return found
}

// openOrphan opens a pidfd of one of a tree's orphans, and returns -1 if it has none.
func (a *adoption) openOrphan(t *tree) (pidfd int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	list, err := a.orphansLocked(t)
	if err != nil || len(list) == 0 {
		return -1, err
	}
	pidfd, err = procfs.OpenPidfd(list[0].Pid)
	if err == nil && isReserved(pidfd) { // the orphan is then looked at now and then
		unix.Close(pidfd)
		return -1, unix.EMFILE
	}
	return pidfd, err
}

// forget gives up the orphans of a tree. From now on they belong to nobody.
func (a *adoption) forget(t *tree) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for pid, owner := range a.owners {
		if owner == t {
			a.owners[pid] = nil
			a.doubts.suspects[pid] = suspicion{trees: []*tree{t}}
		}
	}
	a.doubts.forget(t)
}

// reapDead reaps what the main thread has adopted, and reports whether something of it
// is left. It is called on the main thread: __WNOTHREAD keeps it from stealing the
// status of a child that another thread has forked (wait4(2)).
func (a *adoption) reapDead() (left bool) {
	if !a.adopts {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		pid, err := peek()
		if pid == 0 {
			return err == nil
		}
		if a.owners[pid] == nil {
			a.decideLocked(pid) // what it has used is its owner's
		}
		a.reapLocked(pid)
	}
}

// endUnknown kills the orphans that belong to no command, for a second at most. No
// command is left, or what is left cannot be ended.
func (a *adoption) endUnknown(log *slog.Logger) {
	for begin := time.Now(); a.adopts && a.endUnknownNow(log) && time.Since(begin) < time.Second; pause() {
	}
}

// endUnknownNow kills them, and reports whether there were some.
func (a *adoption) endUnknownNow(log *slog.Logger) (some bool) {
	a.mu.Lock() // nobody but us reaps them
	defer a.mu.Unlock()
	end := func(pid int) {
		if a.others.starting.Load() > 0 { // it may be what is being started: look again
			some = true
			return
		}
		if a.others.mayHave(pid) || a.registry.ledBy(pid, procfs.Unlimited) != nil || a.reapLocked(pid) {
			return
		}
		some = true
		if s, alive, _ := procfs.Living(pid); alive {
			log.Warn("ending an orphan that belongs to no process", "pid", pid, "command", s.Command)
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
	switch {
	case a.lists && a.exclusive:
		_ = procfs.Children(a.self.Pid, end)
	case a.lists:
		_ = procfs.ReadChildren(a.own, end)
	default:
		_ = procfs.Pids(func(pid int) {
			if s, err := procfs.ReadStat(pid); err == nil && s.Ppid == a.self.Pid && procfs.BelongsTo(pid, a.self) {
				end(pid)
			}
		})
	}
	return some
}

// pause is between two looks at what was killed.
func pause() { time.Sleep(5 * time.Millisecond) }

// reapLocked reaps an orphan if it is dead, and reports whether it was. Any thread may:
// what is on the main thread's list is nobody else's.
func (a *adoption) reapLocked(pid int) bool {
	reaped, usage, _ := wait(pid)
	if owner := a.owners[reaped]; owner != nil {
		owner.dead.add(usage)
	}
	delete(a.owners, reaped)
	delete(a.doubts.suspects, reaped)
	return reaped == pid
}
