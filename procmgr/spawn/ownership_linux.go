package spawn

import (
	"slices"

	"github.com/proctor-mcp/proctor/procmgr/lockorder"
	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// registry is the commands of which something may live.
type registry struct {
	mu    lockorder.Mutex[registryPlace] // guards the fields below, and tree.pid until its start has returned
	last  uint64                         // the number that was given last
	trees map[uint64]*tree               // by number
}

type registryPlace struct{}

func (registryPlace) Place() (int, bool) { return 130, false }

// add gives a tree its number and puts it where it is found.
func (r *registry) add(t *tree) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.trees == nil {
		r.trees = map[uint64]*tree{}
	}
	r.last++
	t.number = r.last
	r.trees[t.number] = t
}

func (r *registry) remove(t *tree) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.trees, t.number)
}

// started notes the leader of a tree.
func (r *registry) started(t *tree, pid, pidfd int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t.pid, t.pidfd = pid, pidfd
}

func (r *registry) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.trees)
}

func (r *registry) numbered(n uint64) *tree {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.trees[n]
}

// ledBy returns the tree whose leader has a number, and is not younger than start.
func (r *registry) ledBy(pid int, start uint64) *tree {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.trees {
		if t.pid == pid && t.born <= start {
			return t
		}
	}
	return nil
}

func (r *registry) all() (list []*tree) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.trees {
		list = append(list, t)
	}
	return list
}

// marks is what leads from a process to the command that forked it.
type marks struct {
	self     procfs.Instance
	registry registry
	tags     bool // children can be tagged
}

// tag is what the processes of a tree carry.
func (m *marks) tag(t *tree) procfs.Tag { return m.self.Tag(t.number) }

// marker is the entry in their environment.
func (m *marks) marker(t *tree) string { return m.self.MarkerOf(t.number) }

// carries reports whether a process is marked as one of a tree.
func (m *marks) carries(pid int, t *tree) bool {
	if m.tags {
		tag, err := procfs.ReadTag(pid)
		return err == nil && tag == m.tag(t)
	}
	own, number, ok := procfs.ParseMarker(procfs.ReadMarker(pid))
	return ok && own == m.self && number == t.number
}

// owner returns whose an orphan is, nil if nothing tells. That it descends from one of
// our commands is certain: else the kernel would not have given it to us. The first
// rule that names a tree decides.
func (m *marks) owner(pid int) *tree {
	lockorder.Slow()
	rules := []func(orphan int) *tree{
		m.byTagAndMarker,
		m.byTag,
		m.bySession,
		m.byMarker,
		m.byCgroup,
	}
	for _, rule := range rules {
		if t := rule(pid); t != nil {
			return t
		}
	}
	return nil
}

// byTagAndMarker goes by the marker of what carries one of our tags. A process can give
// itself another's tag; to mark itself as well it must change its environment, and run
// a program in that.
func (m *marks) byTagAndMarker(pid int) *tree {
	if m.byTag(pid) == nil {
		return nil
	}
	return m.byMarker(pid)
}

func (m *marks) byTag(pid int) *tree {
	if !m.tags {
		return nil
	}
	tag, err := procfs.ReadTag(pid)
	if err != nil || !tag.Of(m.self) {
		return nil
	}
	return m.registry.numbered(tag.Number())
}

func (m *marks) bySession(pid int) *tree {
	s, alive, err := procfs.Living(pid)
	if err != nil || !alive {
		return nil
	}
	return m.registry.ledBy(s.Session, s.Start)
}

func (m *marks) byMarker(pid int) *tree {
	own, number, ok := procfs.ParseMarker(procfs.ReadMarker(pid))
	if !ok || own != m.self {
		return nil
	}
	return m.registry.numbered(number)
}

func (m *marks) byCgroup(pid int) *tree {
	for _, t := range m.registry.all() {
		if slices.Contains(t.cgroup.Pids(), pid) {
			return t
		}
	}
	return nil
}
