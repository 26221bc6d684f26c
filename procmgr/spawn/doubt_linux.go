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
	suspects map[int]suspicion // by orphan
	former   map[*tree]bool    // suspects of orphans that have died, as long as there are others without an owner
	seen     map[int]sighting
	sessions map[int]*tree // of sightings
}

// suspicion is who can have forked an orphan.
type suspicion struct {
	trees []*tree
	ours  bool // it descends from a command, and from no other program
}

// sighting is a process that was seen among the descendants of a leader.
type sighting struct {
	start uint64
	tree  *tree
}

func (d *doubts) init() {
	d.suspects, d.former = map[int]suspicion{}, map[*tree]bool{}
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
	s, alive, err := procfs.Living(pid)
	if err != nil || !alive {
		return nil
	}
	if t := a.doubts.seenWith(s); t != nil {
		return t
	}
	of, known := a.doubts.suspects[pid]
	if !known {
		of = a.suspicionOf(pid, s.Start)
		a.doubts.suspects[pid] = of
	}
	if of.ours && len(of.trees) == 1 && a.registry.numbered(of.trees[0].number) != nil {
		return of.trees[0]
	}
	return nil
}

// suspicionOf finds out who can have forked an orphan. A program can have children from
// before it was started (exec), and process 1 of a container adopts everybody: those do
// not have its seal, and are nobody's.
func (a *adoption) suspicionOf(pid int, start uint64) (of suspicion) {
	limit, err := procfs.Locks.Get(pid)
	_, sealed := procfs.ParseSeal(limit.Hard)
	lowered := limit.Hard != procfs.Unlimited && !sealed
	of.ours = err == nil && a.sealed && (limit.Hard == a.self.Seal() || lowered)
	if a.sealed && !a.privileged && !of.ours {
		return suspicion{}
	}
	of.trees = a.registry.since(start)
	for t := range a.doubts.former {
		if t.born <= start && !slices.Contains(of.trees, t) {
			of.trees = append(of.trees, t)
		}
	}
	for _, t := range of.trees {
		a.doubts.former[t] = true
	}
	return of
}

// condemnedLocked reports whether an orphan without an owner is to be killed with a tree:
// whoever has forked it was killed.
func (a *adoption) condemnedLocked(pid int, t *tree) bool {
	of := a.doubts.suspects[pid]
	return of.ours && a.owners[pid] == nil && slices.Contains(of.trees, t) &&
		!slices.ContainsFunc(of.trees, func(s *tree) bool { return !s.condemned.Load() })
}

// lookAround looks at the orphans now, while as much as possible is known of them, and at
// siblings of all commands. It reaps siblings that are dead.
func (a *adoption) lookAround() {
	alone := true
	a.eachStranger(func(int) { alone = false })
	if !a.lists || alone && a.childless() {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	lockorder.Slow()
	_ = procfs.ReadChildren(a.own, func(pid int) { a.decideLocked(pid) })
	a.eachStranger(func(pid int) { // once more: before, others could have reaped it
		a.decideLocked(pid)
		a.reapLocked(pid)
	})
}

// strays returns the living processes without an owner of which a tree that is asked
// about is suspected.
func (a *adoption) strays(asked func(*tree) bool) (s Strays) {
	a.mu.Lock()
	defer a.mu.Unlock()
	lockorder.Slow()
	for pid, of := range a.doubts.suspects {
		if a.owners[pid] != nil || !slices.ContainsFunc(of.trees, asked) {
			continue
		}
		switch l, alive, _ := procfs.Living(pid); {
		case !alive:
		case slices.ContainsFunc(of.trees, func(t *tree) bool { return t.scope != of.trees[0].scope }):
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
