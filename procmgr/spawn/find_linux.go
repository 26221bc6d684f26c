package spawn

import (
	"cmp"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/lockorder"
	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// find returns the living processes of a tree: its orphans, what its cgroup holds, the
// leader unless that was reaped, and whatever descends from them; and, if everywhere is
// set, each process of the machine that is marked as one of them. An error means that it
// could not look. Once it returns, a number may be another process's.
func (a *adoption) find(t *tree, everywhere bool) (found []living, err error) {
	lockorder.Slow()
	todo, err := a.orphans(t)
	if a.testHookLook != nil {
		a.testHookLook()
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
		// Its parent may have died since.
		if alive && s.Start >= t.born && (parent == 0 || s.Ppid == parent || s.Ppid == a.self.Pid) {
			todo = append(todo, s)
		}
		err = cmp.Or(err, statErr)
	}
	for _, pid := range t.cgroup.Pids() {
		add(pid, 0)
	}
	if t.isReaped() {
		seen[t.pid] = true // another's by now
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
			// A child that is gone meanwhile is no loss: what it forked is on our
			// list, or in the next look.
			_ = procfs.Children(s.Pid, func(child int) { add(child, s.Pid) })
		}
	}
	return found, err
}

// signal signals a process that find has found, if it still is that one.
func (a *adoption) signal(t *tree, s living, sig unix.Signal) error {
	lockorder.Slow()
	a.mu.Lock() // no orphan is reaped meanwhile
	defer a.mu.Unlock()
	return procfs.Signal(s.Pid, sig, func() bool {
		now, alive, err := procfs.Living(s.Pid)
		if err != nil || !alive || now.Start != s.Start {
			return false
		}
		if a.owners[s.Pid] == t {
			return true
		}
		// Either it is marked, or it is the child of one that is the tree's, or its
		// parent has died since, of the same signal perhaps.
		switch {
		case a.carries(s.Pid, t):
			return true
		case now.Ppid == a.self.Pid:
			return s.Ppid != a.self.Pid && a.owner(s.Pid) == t
		}
		return now.Ppid == s.Ppid
	})
}
