package spawn

import (
	"cmp"
	"errors"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// empty says that nothing of an ended leader's domain is alive. What lost its
// parent has come to the main thread, whose list of children holds nothing else:
// if it is empty, that is the proof, for less than a microsecond. A process that
// adopts orphans itself hides them only while it lives, and it is on the list.
func (h *Host) empty(p *Process) bool {
	// The cgroup knows better: of what has entered another pid namespace, or was
	// cloned as a child of ours (CLONE_PARENT), the list tells nothing.
	if p.domain.cgroup.populated() {
		return false
	}
	if h.noOrphans() {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	orphans, err := h.orphansLocked(p)
	return err == nil && len(orphans) == 0
}

// noOrphans says that the main thread is parent of nothing.
func (h *Host) noOrphans() bool {
	if !h.lists {
		return false
	}
	var buf [1]byte
	n, err := unix.Pread(h.own, buf[:], 0)
	return n == 0 && err == nil
}

// orphansLocked returns the living orphans of p, and reaps the dead. While
// Host.mu is held nobody else reaps an orphan, so their numbers are theirs.
func (h *Host) orphansLocked(p *Process) (alive []procfs.Stat, err error) {
	if !h.lists {
		return h.searchUntilStill(p)
	}
	var failed error
	dead := map[int]bool{}
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
			if owner != nil && owner != p {
				return
			}
			if h.reapLocked(pid) {
				again = true
				return
			}
			// A dead one that cannot be reaped yet is held by its tracer (ptrace(2)).
			s, lives, statErr := procfs.Living(pid)
			switch {
			case statErr != nil:
				failed = statErr
			case !lives && !dead[pid]:
				dead[pid], again = true, true
			case lives && owner == p:
				alive = append(alive, s)
			case lives && owner == nil && !h.tags && s.Start+execTicks > bootTicks():
				// Its environment cannot be read in the middle of an exec.
				failed = errNoOwner
			}
		})
		if err = cmp.Or(err, failed); err != nil {
			return nil, err
		}
	}
	return alive, nil
}

// reapLocked reaps an orphan if it is dead, and says whether it was. Any thread
// may: what is on the main thread's list is nobody else's.
func (h *Host) reapLocked(pid int) bool {
	reaped, usage, _ := wait(pid)
	if owner := h.adopted[reaped]; owner != nil {
		owner.domain.spent.add(usage)
	}
	delete(h.adopted, reaped)
	return reaped == pid
}

// errNoOwner says that it is not known yet whose an orphan is.
var errNoOwner = errors.New("an orphan is not known yet")

// execTicks is how old an orphan without an owner is at least, in clock ticks, when
// it is believed to have none.
const execTicks = 100

// wait reaps a child if it is dead, and returns 0 with no error if it is not.
func wait(pid int) (reaped int, usage Usage, err error) {
	for {
		var status unix.WaitStatus
		var used unix.Rusage
		if reaped, err = unix.Wait4(pid, &status, unix.WNOHANG, &used); err != unix.EINTR {
			return max(reaped, 0), usageOf(&used), err
		}
	}
}

// peek returns a dead child of this thread, which it does not reap: 0 with no
// error if none is dead, and with an error if there is none.
func peek() (pid int, err error) {
	// siginfo_t: three integers, then a union that begins with the pid.
	const word = unsafe.Sizeof(uintptr(0))
	const union = (3*4 + word - 1) / word * word
	for {
		var info unix.Siginfo
		err = unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG|unix.WNOTHREAD, nil)
		if err != unix.EINTR {
			return int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), union))), err
		}
	}
}

// awaitOrphan waits until one of p's orphans has ended, and returns at once if
// there is none. It returns false if it cannot wait for what there is, or p was
// given up meanwhile.
func (h *Host) awaitOrphan(p *Process) bool {
	h.mu.Lock()
	orphans, err := h.orphansLocked(p)
	pidfd := -1
	if len(orphans) > 0 {
		// It is not reaped while the lock is held: the number is its own.
		pidfd, err = procfs.OpenPidfd(orphans[0].Pid)
		if err == nil && keptBack(pidfd) { // it can be looked at now and then
			unix.Close(pidfd)
			err = unix.EMFILE
		}
	}
	h.mu.Unlock()
	if err != nil || pidfd < 0 {
		return err == nil && !p.domain.cgroup.populated()
	}
	orphan := park(pidfd)
	defer orphan.close()
	p.mu.Lock()
	p.domain.orphan = orphan
	gone := p.gone
	p.mu.Unlock()
	return gone || awaitPidfd(orphan)
}

// ownerLocked returns whose an orphan is, nil if nothing tells. That it descends
// from one of our commands is certain: else the kernel would not have given it
// to us.
func (h *Host) ownerLocked(pid int) *Process {
	own, number, ok := procfs.ParseMarker(procfs.ReadMarker(pid))
	marked := h.processes[number]
	if !ok || own != h.self {
		marked = nil
	}
	if h.tags {
		if tag, err := procfs.ReadTag(pid); err == nil && tag.Of(h.self) && h.processes[tag.Number()] != nil {
			// A process may have given itself another's tag; its environment it had
			// to change as well.
			return cmp.Or(marked, h.processes[tag.Number()])
		}
	}
	s, alive, err := procfs.Living(pid)
	if err != nil || !alive {
		return nil
	}
	for _, p := range h.processes {
		if p.pid == s.Session && p.domain.born <= s.Start {
			return p
		}
	}
	if marked != nil {
		return marked
	}
	for _, p := range h.processes {
		if slices.Contains(p.domain.cgroup.pids(), pid) {
			return p
		}
	}
	return nil
}

// search looks at every process for the tag of p, or its marker where
// there are no tags. The leader counts. A tag alone proves nothing: a program that
// forks by other means while a command is forked gives it to its child as well.
func (h *Host) search(p *Process) (alive []procfs.Stat, err error) {
	var failed error
	err = procfs.Pids(func(pid int) {
		if h.carries(pid, p) {
			s, lives, statErr := procfs.Living(pid)
			switch {
			case lives && h.descends(s, p):
				alive = append(alive, s)
			case !lives && statErr == nil && !h.lists && s.Ppid == h.self.Pid && pid != p.pid:
				// Host.mu is held here. What it has used is to be counted before p is
				// found to be empty.
				h.adopted[pid] = p
				h.reapLocked(pid)
			}
			failed = cmp.Or(statErr, failed)
		}
	})
	return alive, cmp.Or(err, failed)
}

// searchUntilStill searches again as long as it finds nothing and something was
// forked while it searched: a process that is forked behind the search, by one that
// dies before the search comes to it, is not seen. On a machine that always forks it
// comes to an end too.
func (h *Host) searchUntilStill(p *Process) (alive []procfs.Stat, err error) {
	const most = 8
	for range most {
		last := procfs.LastPid()
		alive, err = h.search(p)
		if err != nil || len(alive) > 0 || procfs.LastPid() == last {
			break
		}
	}
	return alive, err
}

// descends says that a process comes from p's leader or from an orphan, and not
// from a child that the program has by other means.
func (h *Host) descends(s procfs.Stat, p *Process) bool {
	for s.Pid != p.pid {
		if s.Ppid == h.self.Pid {
			return h.isOrphan(s.Pid)
		}
		parent, err := procfs.ReadStat(s.Ppid)
		if err != nil || parent.Start > s.Start {
			// Its parent has died under our eyes. The next look knows more.
			return false
		}
		s = parent
	}
	return true
}

// isOrphan says that the main thread is a process's parent. Where the kernel has
// no lists of children nothing tells an orphan from a child that the program has by
// other means: see Exclude.
func (h *Host) isOrphan(pid int) (found bool) {
	if !h.lists {
		return true
	}
	_ = procfs.ReadChildren(h.own, func(child int) { found = found || child == pid })
	return found
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
// An error means that it could not look. Once it returns, a number may be another
// process's.
func (h *Host) find(p *Process, leader, everywhere bool) (found []procfs.Stat, err error) {
	h.mu.Lock()
	todo, err := h.orphansLocked(p)
	h.mu.Unlock()
	if h.testHookLook != nil {
		h.testHookLook()
	}
	if err == nil && everywhere && h.lists {
		var more []procfs.Stat
		more, err = h.search(p)
		todo = append(todo, more...)
	}
	if err != nil {
		return nil, err
	}
	seen := map[int]bool{}
	add := func(pid, parent int) {
		s, alive, statErr := procfs.Living(pid)
		// Its parent may have died since.
		if alive && s.Start >= p.domain.born && (parent == 0 || s.Ppid == parent || s.Ppid == h.self.Pid) {
			todo = append(todo, s)
		}
		err = cmp.Or(err, statErr)
	}
	for _, pid := range p.domain.cgroup.pids() {
		add(pid, 0)
	}
	if leader {
		add(p.pid, h.self.Pid)
	} else {
		seen[p.pid] = true // its number is reserved, or another's by now
	}
	for len(todo) > 0 {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[s.Pid] {
			continue
		}
		seen[s.Pid] = true
		found = append(found, s)
		if h.lists {
			// A child that is gone meanwhile is no loss: what it forked is on our
			// list, or in the next look.
			_ = procfs.Children(s.Pid, func(child int) { add(child, s.Pid) })
		}
	}
	return found, err
}

// signal signals a process that find has found, if it still is that one.
func (h *Host) signal(p *Process, s procfs.Stat, sig unix.Signal) error {
	h.mu.Lock() // no orphan is reaped meanwhile
	defer h.mu.Unlock()
	return procfs.Signal(s.Pid, sig, func() bool {
		now, alive, err := procfs.Living(s.Pid)
		if err != nil || !alive || now.Start != s.Start {
			return false
		}
		if h.adopted[s.Pid] == p {
			return true
		}
		// Either it is marked, or it is the child of one that is p's, or its parent has
		// died since, of the same signal perhaps.
		switch {
		case h.carries(s.Pid, p):
			return true
		case now.Ppid == h.self.Pid:
			return s.Ppid != h.self.Pid && h.ownerLocked(s.Pid) == p
		}
		return now.Ppid == s.Ppid
	})
}
