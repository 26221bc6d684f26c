package procmgr

import (
	"cmp"
	"slices"

	"github.com/proctor-mcp/proctor/procmgr/output"
)

// Scoped is a [Manager] as one scope sees it: processes of other scopes do not exist.
type Scoped struct {
	m     *Manager
	scope Scope
}

// In returns the manager as a scope sees it.
func (m *Manager) In(scope Scope) Scoped { return Scoped{m, scope} }

// Handle gives access to one process. It stays usable when the process is forgotten,
// but output that was in a file is gone then.
type Handle struct {
	m *Manager
	p *process
}

// Find returns the process of that id. It returns ErrNotFound if there never was one, if
// another scope has it, or if it was forgotten.
func (s Scoped) Find(id string) (Handle, error) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if p := s.m.scopes.find(s.scope, id); p != nil {
		return Handle{s.m, p}, nil
	}
	return Handle{}, ErrNotFound
}

// ID returns the process id.
func (h Handle) ID() string { return h.p.facts.ID }

// Facts returns what never changes of the process. It is cheaper than a snapshot.
func (h Handle) Facts() Facts { return h.p.facts }

// Snapshot returns what is known of the process now. It may look through /proc, which can
// take 20 ms: take one for each answer.
func (h Handle) Snapshot() (s Process) {
	h.p.fill(&s, h.m.opts.Clock.Now("snapshot"), true)
	return s
}

// Brief is Snapshot without Suspended, WaitsForInput and Descendants, which may need a look
// through /proc.
func (h Handle) Brief() (s Process) {
	h.p.fillBrief(&s, h.m.opts.Clock.Now())
	return s
}

// Ended reports whether the process has ended, without a look through /proc.
func (h Handle) Ended() bool { return h.p.hasEnded() }

// Output returns a reader of the output, which grows while the process runs. After a
// [Handle.Snapshot] that shows an exit, it has everything that the process wrote before
// that exit.
func (h Handle) Output() output.Reader { return &h.p.output }

// View returns a snapshot of the process and the two ends of its output.
func (h Handle) View() (Process, output.View) {
	s := h.Snapshot()
	// When the process has ended, a rune that is not whole never will be.
	return s, h.p.output.View(s.OutputOpen && s.State.Running(), true)
}

// Usage returns what the process and all that it forked have used so far, also when they
// have ended. An error means that this cannot be seen.
func (h Handle) Usage() (Usage, error) {
	if h.p.isAlive() {
		return h.p.spawned.Usage()
	}
	return h.Brief().Exit.Usage, nil
}

// Ports returns the TCP ports on which the process or something that it forked listens,
// by number and then address. In a sandbox with its own network they are ports of that
// network. An error means that they cannot be seen; it is errors.ErrUnsupported for a
// remote process (Facts.Remote), and on other systems than Linux for all.
func (h Handle) Ports() ([]Port, error) {
	if !h.p.isAlive() {
		return nil, nil
	}
	return h.p.launcher.ports(h.p.spawned)
}

// Survivors returns the processes of the kill domain that are alive: the command and what
// it forked. A zombie is dead. An error means that this cannot be seen.
func (h Handle) Survivors() ([]Member, error) {
	if !h.p.isAlive() {
		return nil, nil
	}
	return h.p.spawned.Members()
}

// Strays returns living processes that the process may have forked, although nothing
// shows it, also when it has ended.
func (h Handle) Strays() Strays { return h.p.spawned.Strays() }

// Strays returns living processes that those of the scope may have forked, although
// nothing shows it.
func (s Scoped) Strays() Strays { return s.m.spawner.Strays(s.scope.name()) }

// Filter selects processes. A process counts as running while its command or something
// that it forked is alive.
type Filter string

const (
	FilterAll     Filter = "all"
	FilterRunning Filter = "running"
	FilterEnded   Filter = "ended"
)

// List returns snapshots of at most limit processes, and how many it left out: running
// processes come first, among them and among the others the one that started last.
func (s Scoped) List(filter Filter, limit int) (list []Process, omitted int) {
	handles, omitted := s.Handles(filter, limit)
	return s.Snapshots(handles), omitted
}

// Snapshots returns a snapshot of each process. It takes less time than one after the
// other.
func (s Scoped) Snapshots(handles []Handle) []Process {
	list := make([]Process, len(handles))
	at, mayBeSuspended := s.m.opts.Clock.Now("snapshot"), s.m.spawner.AnySuspended()
	for i, h := range handles {
		h.p.fill(&list[i], at, mayBeSuspended)
	}
	return list
}

// Handles is List with handles instead of snapshots.
func (s Scoped) Handles(filter Filter, limit int) (handles []Handle, omitted int) {
	type entry struct {
		p    *process
		rank uint64 // a higher one comes first
	}
	var entries []entry
	s.m.mu.Lock()
	if b := s.m.scopes[s.scope]; b != nil {
		entries = make([]entry, 0, len(b.processes))
		for _, p := range b.processes {
			running, rank := p.isAlive(), p.seq
			if running {
				rank |= 1 << 63
			}
			if filter == FilterAll || running == (filter == FilterRunning) {
				entries = append(entries, entry{p, rank})
			}
		}
	}
	s.m.mu.Unlock()

	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(b.rank, a.rank) })
	shown := min(limit, len(entries))
	handles = make([]Handle, 0, shown)
	for _, e := range entries[:shown] {
		handles = append(handles, Handle{s.m, e.p})
	}
	return handles, len(entries) - shown
}
