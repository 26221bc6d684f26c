package spawn

import (
	"cmp"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/lockorder"
	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// registry is the commands of which something may live.
type registry struct {
	mu    lockorder.Mutex[registryPlace] // guards the field below, and of a tree what is set when its start returns
	trees map[uint64]*tree               // by the short form of their numbers
	// leaders has the trees by the pid of their leader, also of one that was reaped: no
	// process gets that number while a session has it. starting counts those that have
	// none yet.
	leaders  map[int]*tree
	starting int
}

type registryPlace struct{}

func (registryPlace) Place() (int, bool) { return 130, false }

// add gives a tree its number and puts it where it is found.
func (r *registry) add(t *tree) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.trees == nil {
		r.trees, r.leaders = map[uint64]*tree{}, map[int]*tree{}
	}
	for t.number == 0 || r.trees[t.number.Short()] != nil {
		t.number = randomNumber()
	}
	r.trees[t.number.Short()] = t
	r.starting++
}

func (r *registry) remove(t *tree) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.trees, t.number.Short())
	switch {
	case t.pid == 0:
		r.starting--
	case r.leaders[t.pid] == t:
		delete(r.leaders, t.pid)
	}
}

// start notes the leader of a tree.
func (r *registry) start(t *tree, f forked) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t.pid, t.pidfd, t.thread, t.carries = f.pid, f.pidfd, f.thread, f.carries
	r.leaders[t.pid] = t
	r.starting--
}

// strangers returns which of the children of this program lead no tree. While one is
// being started that is not known, and there are none.
func (r *registry) strangers(children []int) (list []int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, pid := range children {
		if r.starting == 0 && r.leaders[pid] == nil {
			list = append(list, pid)
		}
	}
	return list
}

// since returns the trees that a process may belong to which began then.
func (r *registry) since(start uint64) (list []*tree) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.trees {
		if t.born <= start {
			list = append(list, t)
		}
	}
	return list
}

func (r *registry) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.trees)
}

func (r *registry) numbered(n procfs.Number) *tree {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.trees[n.Short()]; t != nil && t.number == n {
		return t
	}
	return nil
}

// tagged returns the tree that a short number names, if nothing better marks it. Where
// nothing does, short ones are all that is guessed.
func (r *registry) tagged(short uint64) *tree {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.trees[short]; t != nil && !t.carries.locks {
		return t
	}
	return nil
}

// ledBy returns the tree whose leader has a number, and is not younger than start.
func (r *registry) ledBy(pid int, start uint64) *tree {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.leaders[pid]; t != nil && t.born <= start {
		return t
	}
	return nil
}

// started returns the trees whose start has returned.
func (r *registry) started() (list []*tree) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.trees {
		if t.pid > 0 {
			list = append(list, t)
		}
	}
	return list
}

// marks lead from a process to the command that forked it.
type marks struct {
	self     procfs.Instance
	registry registry
}

// marker is the entry in the environment of the processes of a tree.
func (m *marks) marker(t *tree) string { return m.self.MarkerOf(t.number) }

// carries reports whether a process has the best mark that those of a tree have.
func (m *marks) carries(pid int, t *tree) bool {
	switch {
	case t.carries.locks:
		limit, err := procfs.Locks.Get(pid)
		return err == nil && limit.Soft == t.number.Locks()
	case t.carries.rttime:
		limit, err := procfs.RTTime.Get(pid)
		return err == nil && procfs.Tag(limit.Soft) == m.self.Tag(t.number)
	}
	own, n, ok := procfs.ParseMarker(procfs.ReadMarker(pid))
	return ok && own == m.self && n == t.number
}

// owner returns the tree that an orphan belongs to, nil if no rule names one. It surely
// descends from one of our commands: else the kernel would not have given it to us. The
// first rule that names a tree decides. What nobody can forge comes first.
func (m *marks) owner(pid int) *tree {
	lockorder.Slow()
	rules := []func(orphan int) *tree{
		m.bySession,
		m.byNumber,
		m.byTag,
		m.byCgroup,
	}
	for _, rule := range rules {
		if t := rule(pid); t != nil {
			return t
		}
	}
	return nil
}

// bySession goes by the session, which a process can leave, but not enter.
func (m *marks) bySession(pid int) *tree {
	session, err := unix.Getsid(pid)
	if err != nil || m.registry.ledBy(session, procfs.Unlimited) == nil {
		return nil
	}
	s, alive, err := procfs.Living(pid)
	if err != nil || !alive {
		return nil
	}
	return m.registry.ledBy(s.Session, s.Start)
}

// byNumber goes by the number, which nobody can guess. A process that has the tag of one
// command and the marker of another has copied one of them.
func (m *marks) byNumber(pid int) (t *tree) {
	if limit, err := procfs.Locks.Get(pid); err == nil {
		if n, ok := procfs.LocksNumber(limit.Soft); ok {
			t = m.registry.numbered(n)
		}
	}
	own, n, ok := procfs.ParseMarker(procfs.ReadMarker(pid))
	if !ok || own != m.self {
		return t
	}
	if marked := m.registry.numbered(n); t == nil || marked == nil || marked == t {
		return cmp.Or(t, marked)
	}
	return nil
}

// byTag goes by the tag that has a part of the number only.
func (m *marks) byTag(pid int) *tree {
	limit, err := procfs.RTTime.Get(pid)
	if tag := procfs.Tag(limit.Soft); err == nil && tag.Of(m.self) {
		return m.registry.tagged(tag.Short())
	}
	return nil
}

func (m *marks) byCgroup(pid int) *tree {
	for _, t := range m.registry.started() {
		if slices.Contains(t.cgroup.Pids(), pid) {
			return t
		}
	}
	return nil
}
