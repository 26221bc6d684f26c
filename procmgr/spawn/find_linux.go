package spawn

import (
	"cmp"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/lockorder"
	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// find returns the living processes of a tree: its orphans, what its cgroup holds, the
// leader unless that was reaped, and whatever descends from them. If everywhere is set, it
// also searches the whole machine for processes with the mark of the tree. An error means
// that it could not look. A number in the result may belong to another process by the
// time it is used.
func (a *adoption) find(t *tree, everywhere bool) (found []living, err error) {
	lockorder.Slow()
	todo, err := a.orphans(t)
	if hook := a.testHookLook.Load(); hook != nil {
		(*hook)()
	}
	if err == nil && everywhere && a.lists {
		var more []living
		more, err = a.search(t)
		todo = append(todo, more...)
	}
	if err != nil {
		return nil, err
	}
	seen := map[int]bool{}
	add := func(pid, parent int) {
		s, alive, statErr := procfs.Living(pid)
		// Its parent may have died meanwhile; then it is our child.
		if alive && s.Start >= t.born && (parent == 0 || s.Ppid == parent || s.Ppid == a.self.Pid) {
			todo = append(todo, s)
		}
		err = cmp.Or(err, statErr)
	}
	for _, pid := range t.cgroup.Pids() {
		add(pid, 0)
	}
	if t.isReaped() {
		seen[t.pid] = true // the number may be another process's by now
	} else {
		add(t.pid, a.self.Pid)
	}
	for len(todo) > 0 {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[s.Pid] {
			continue
		}
		seen[s.Pid] = true
		found = append(found, s)
		if a.lists {
			// An error is no loss: if a child has ended meanwhile, what it forked is on
			// our list, or in the next look.
			_ = procfs.Children(s.Pid, func(child int) { add(child, s.Pid) })
		}
	}
	return found, err
}

// signal signals a process that find has found, if it still is that one.
func (a *adoption) signal(t *tree, s living, sig unix.Signal) error {
	lockorder.Slow()
	a.mu.Lock()
	defer a.mu.Unlock()
	return procfs.Signal(s.Pid, sig, func() bool {
		now, alive, err := procfs.Living(s.Pid)
		if err != nil || !alive || now.Start != s.Start {
			return false
		}
		if a.owners[s.Pid] == t || a.condemnedLocked(s.Pid, t) {
			return true
		}
		// It is marked, or still the child of a process of the tree, or that parent
		// has died meanwhile, perhaps of the same signal.
		switch {
		case a.carries(s.Pid, t):
			return true
		case now.Ppid == a.self.Pid:
			return s.Ppid != a.self.Pid && a.owner(s.Pid) == t
		}
		return now.Ppid == s.Ppid
	})
}
