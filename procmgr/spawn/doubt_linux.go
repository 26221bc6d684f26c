package spawn

import (
	"cmp"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/lockorder"
	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// doubts is what is known of orphans that have no marks: commands that mean harm can shed
// theirs, and take the tags of all by lowering the limits of this program. adoption.mu
// guards it.
type doubts struct {
	suspects map[int][]*tree // by orphan: those that can have forked it
	former   map[*tree]bool  // suspects of orphans that have died, as long as there are others without an owner
	seen     map[int]sighting
	sessions map[int]*tree // of sightings
}

// sighting is a process that was seen among the descendants of a leader.
type sighting struct {
	start uint64
	tree  *tree
}

func (d *doubts) init() {
	d.suspects, d.former = map[int][]*tree{}, map[*tree]bool{}
	d.seen, d.sessions = map[int]sighting{}, map[int]*tree{}
}

func (d *doubts) forget(t *tree) {
	for pid, s := range d.seen {
		if s.tree == t {
			delete(d.seen, pid)
		}
	}
	for id, tree := range d.sessions {
		if tree == t {
			delete(d.sessions, id)
		}
	}
}

// seenWith returns the tree in which a process, or the session that it is in, was seen.
func (d *doubts) seenWith(s living) *tree {
	if before, ok := d.seen[s.Pid]; ok && before.start == s.Start {
		return before.tree
	}
	return d.sessions[s.Session]
}

// remember notes which descendants of a leader that lives are out of its session, before
// it is killed: without their parents and without marks nothing would lead to them.
func (a *adoption) remember(t *tree) {
	if !a.lists || t.cgroup != nil || t.stage() != stageRunning {
		return
	}
	lockorder.Slow()
	const most = 200 // processes; a kill must not wait for more
	leader := strconv.Itoa(t.pid)
	var todo []int
	// Most have no child, or one thread.
	_ = procfs.ChildrenOf("/proc/"+leader+"/task/"+leader+"/children", func(child int) { todo = append(todo, child) })
	for i := 0; i < len(todo) && i < most; i++ {
		if session, err := unix.Getsid(todo[i]); err == nil && session != t.pid {
			if s, alive, err := procfs.Living(todo[i]); err == nil && alive && s.Start >= t.born {
				a.mu.Lock()
				a.doubts.seen[s.Pid] = sighting{s.Start, t}
				if s.Session == s.Pid {
					a.doubts.sessions[s.Session] = t
				}
				a.mu.Unlock()
			}
		}
		_ = procfs.Children(todo[i], func(child int) { todo = append(todo, child) })
	}
}

// decideLocked returns the owner of an orphan, nil if nobody is known to be.
func (a *adoption) decideLocked(pid int) *tree {
	owner := a.owners[pid]
	if owner == nil { // new, or in the middle of an exec when it was looked at
		if owner = a.owner(pid); owner == nil {
			owner = a.suspectLocked(pid)
		}
		a.owners[pid] = owner
	}
	return owner
}

// suspectLocked returns whose an orphan without marks is because it can be nobody else's.
// It notes all that can have forked it: those that live now and are not younger. One that
// is gone had no orphans when it was looked at, but for those of which the same holds.
func (a *adoption) suspectLocked(pid int) *tree {
	list, known := a.doubts.suspects[pid]
	s, alive, err := procfs.Living(pid)
	if err != nil || !alive {
		return nil
	}
	if t := a.doubts.seenWith(s); t != nil {
		return t
	}
	if !known && !a.foreign(pid) {
		list = a.registry.since(s.Start)
		for t := range a.doubts.former {
			if t.born <= s.Start && !slices.Contains(list, t) {
				list = append(list, t)
			}
		}
		for _, t := range list {
			a.doubts.former[t] = true
		}
	}
	a.doubts.suspects[pid] = list
	if len(list) == 1 && a.sealed && a.registry.numbered(list[0].number) != nil {
		return list[0]
	}
	return nil
}

// foreign reports whether an orphan comes from no command. A program can have children
// from before it was started (exec), and process 1 of a container adopts everybody.
func (a *adoption) foreign(pid int) bool {
	limit, err := procfs.Locks.Get(pid)
	return a.sealed && !a.privileged && err == nil && limit.Hard == procfs.Unlimited
}

// condemnedLocked reports whether an orphan without an owner is to be killed with a tree:
// whoever has forked it was killed.
func (a *adoption) condemnedLocked(pid int, t *tree) bool {
	list := a.doubts.suspects[pid]
	return a.sealed && a.owners[pid] == nil && slices.Contains(list, t) &&
		!slices.ContainsFunc(list, func(s *tree) bool { return !s.condemned.Load() })
}

// lookAround looks at the orphans now, while as much as possible is known of them.
func (a *adoption) lookAround() {
	if a.childless() || !a.lists {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	lockorder.Slow()
	_ = procfs.ReadChildren(a.own, func(pid int) { a.decideLocked(pid) })
}

// strays returns the living processes without an owner of which a tree that is asked
// about is suspected.
func (a *adoption) strays(asked func(*tree) bool) (s Strays) {
	a.mu.Lock()
	defer a.mu.Unlock()
	lockorder.Slow()
	for pid, list := range a.doubts.suspects {
		if a.owners[pid] != nil || !slices.ContainsFunc(list, asked) {
			continue
		}
		switch l, alive, _ := procfs.Living(pid); {
		case !alive:
		case slices.ContainsFunc(list, func(t *tree) bool { return t.scope != list[0].scope }):
			s.Others++
		default:
			s.Members = append(s.Members, member(l))
		}
	}
	slices.SortFunc(s.Members, func(a, b Member) int { return cmp.Compare(a.Pid, b.Pid) })
	return s
}

// Strays returns the processes that this one may have forked.
func (p *Process) Strays() Strays {
	d, ok := p.domain.(*descendants)
	if !ok || d.host.adoption.quiet(&d.tree) {
		return Strays{}
	}
	_, _ = d.host.adoption.orphans(&d.tree) // looks at what is new
	return d.host.adoption.strays(func(t *tree) bool { return t == &d.tree })
}

// strays is Spawner.Strays.
func (h *Host) strays(scope string) Strays {
	h.adoption.lookAround()
	return h.adoption.strays(func(t *tree) bool { return t.scope == scope })
}

// disarmed is Spawner.Disarmed.
func (h *Host) disarmed() bool {
	return h.KillDomain() == KillDomainDescendants && h.forker.disarmed()
}
