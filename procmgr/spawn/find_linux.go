package spawn

import (
	"cmp"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// empty says that nothing of an ended leader's domain is alive. What lost its
// parent has come to the main thread, whose list of children holds nothing else:
// if it is empty, that is the proof, for less than a microsecond. A process that
// adopts orphans itself hides them only while it lives, and it is on the list.
func (h *Host) empty(p *Process) bool {
	if h.lists {
		var buf [1]byte
		if n, err := unix.Pread(h.own, buf[:], 0); n == 0 && err == nil {
			return true
		}
	}
	h.mu.Lock()
	orphans, err := h.orphansLocked(p)
	h.mu.Unlock()
	return err == nil && len(orphans) == 0 && !p.domain.cgroup.populated()
}

// orphansLocked returns the living orphans of p. While Host.mu is held none is
// reaped, so their numbers are theirs.
func (h *Host) orphansLocked(p *Process) (alive []int, err error) {
	if !h.lists {
		return h.searchLocked(p)
	}
	dead := map[int]bool{}
	var failed error
	for again := true; again; {
		// What a dead one forked comes to the list before it shows as dead: so
		// after the first sight of a dead one the list is read again.
		again, alive = false, alive[:0]
		err = procfs.ReadChildren(h.own, func(pid int) {
			owner := h.adopted[pid]
			if owner == nil { // new, or in the middle of an exec when it was looked at
				owner = h.ownerLocked(pid)
				h.adopted[pid] = owner
			}
			if owner != p || dead[pid] {
				return
			}
			_, lives, statErr := procfs.Living(pid)
			switch {
			case statErr != nil:
				failed = statErr
			case lives:
				alive = append(alive, pid)
			default:
				dead[pid], again = true, true
			}
		})
		if err = cmp.Or(err, failed); err != nil {
			return nil, err
		}
	}
	return alive, nil
}

// ownerLocked returns whose an orphan is, nil if nothing tells. That it descends
// from one of our commands is certain: else the kernel would not have given it
// to us.
func (h *Host) ownerLocked(pid int) *Process {
	if tag, err := procfs.ReadTag(pid); err == nil && h.tags && tag.Of(h.self) {
		if p := h.processes[tag.Number()]; p != nil {
			return p
		}
	}
	s, err := procfs.ReadStat(pid)
	if err != nil || !s.Alive() {
		return nil
	}
	for _, p := range h.processes {
		if p.pid == s.Session && p.domain.born <= s.Start {
			return p
		}
	}
	if own, number, ok := procfs.ParseMarker(procfs.ReadMarker(pid)); ok && own == h.self && h.processes[number] != nil {
		return h.processes[number]
	}
	for _, p := range h.processes {
		if p.domain.cgroup.holds(pid) {
			return p
		}
	}
	return nil
}

// searchLocked looks at every process for the tag of p, or its marker where
// there are no tags. The leader counts.
func (h *Host) searchLocked(p *Process) (alive []int, err error) {
	var failed error
	err = procfs.Pids(func(pid int) {
		if h.carries(pid, p) {
			_, lives, statErr := procfs.Living(pid)
			if lives {
				alive = append(alive, pid)
			}
			failed = cmp.Or(statErr, failed)
		}
	})
	return alive, cmp.Or(err, failed)
}

// carries says that a process is marked as one of p's.
func (h *Host) carries(pid int, p *Process) bool {
	if h.tags {
		tag, err := procfs.ReadTag(pid)
		return err == nil && tag == h.tag(p)
	}
	own, number, ok := procfs.ParseMarker(procfs.ReadMarker(pid))
	return ok && own == h.self && number == p.domain.number
}

// find returns the living processes of p's domain: its orphans, what its cgroup
// holds, the leader if asked for, and whatever descends from them; and, if
// everywhere is set, each process of the machine that is marked as one of them.
// An error means that it could not look.
func (h *Host) find(p *Process, leader, everywhere bool) (found []procfs.Stat, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	todo, err := h.orphansLocked(p)
	if err != nil {
		return nil, err
	}
	if everywhere && h.lists {
		more, err := h.searchLocked(p)
		if err != nil {
			return nil, err
		}
		todo = append(todo, more...)
	}
	todo = p.domain.cgroup.appendPids(todo)
	if leader {
		todo = append(todo, p.pid)
	}
	seen := map[int]bool{}
	if !leader {
		seen[p.pid] = true // its number is reserved, or another's by now
	}
	for len(todo) > 0 {
		pid := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[pid] {
			continue
		}
		seen[pid] = true
		s, lives, err := procfs.Living(pid)
		if err != nil {
			return nil, err
		}
		if !lives || s.Start < p.domain.born {
			continue
		}
		found = append(found, s)
		if h.lists {
			// A child that is gone meanwhile is no loss: what it forked is on our
			// list, or in the next look.
			_ = procfs.Children(pid, func(child int) { todo = append(todo, child) })
		}
	}
	return found, nil
}

// signal signals a process that find has found, if it still is that one.
func (h *Host) signal(p *Process, s procfs.Stat, sig unix.Signal) error {
	h.mu.Lock() // no orphan is reaped meanwhile
	defer h.mu.Unlock()
	return procfs.Signal(s.Pid, sig, func() bool {
		now, err := procfs.ReadStat(s.Pid)
		if err != nil || now.Start != s.Start {
			return false
		}
		if h.adopted[s.Pid] == p {
			return true
		}
		// Either it is marked, or it is the child of one that is p's.
		return h.carries(s.Pid, p) || now.Ppid == s.Ppid && s.Ppid != h.self.Pid
	})
}
