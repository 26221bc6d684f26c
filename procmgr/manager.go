package procmgr

import (
	"cmp"
	"runtime"
	"slices"
	"sync"

	"github.com/proctor-mcp/proctor/fair"
	"github.com/proctor-mcp/proctor/procmgr/output"
	"github.com/proctor-mcp/proctor/procmgr/spawn"
)

// Manager owns processes. Its methods may be called concurrently.
type Manager struct {
	opts    Options
	spawner *spawn.Spawner
	logging sync.WaitGroup // for records of exits, and for what is forgotten at one
	starts  *fair.Queue[Scope]
	scans   *fair.Queue[Scope] // looks through output for calls that wait
	space   *output.Space

	mu        sync.Mutex // guards the fields below
	seq       uint64
	ends      uint64                        // how many processes have ended with all that they forked
	running   int                           // processes of all scopes, as in counts
	counts    map[Scope]counts              // none is zero
	scopes    map[Scope]map[string]*process // by id; the only way to a process is through its scope
	requests  map[Scope]map[string]*request // by request id
	untold    map[Scope][]*process          // ended, in that order; some may have been told since
	starting  sync.WaitGroup                // starts in flight; none is added once closed
	closed    bool
	closeDone chan struct{} // made by the first Close, closed when it is through
}

// New returns a Manager. Close it to end what it runs.
func New(opts Options) *Manager {
	opts = opts.withDefaults()
	m := &Manager{
		opts:    opts,
		spawner: spawn.New(spawn.Options{Host: opts.Host, Clock: opts.Clock}),
		// Two at a time saturate two cores: a start is mostly the kernel's work.
		starts: fair.New[Scope](max(2, runtime.GOMAXPROCS(0))),

		counts:   map[Scope]counts{},
		scopes:   map[Scope]map[string]*process{},
		requests: map[Scope]map[string]*request{},
		untold:   map[Scope][]*process{},
		scans:    fair.New[Scope](1),
	}
	m.space = m.newSpace()
	return m
}

func (m *Manager) newSpace() *output.Space {
	s := &output.Space{Max: m.opts.OutputMax, Clock: m.opts.Clock}
	if m.opts.OutputMemory > 0 {
		s.Memory = output.NewBudget(m.opts.OutputMemory, m.freeMemory)
	}
	if m.opts.OutputTotal > 0 {
		s.Total = output.NewBudget(m.opts.OutputTotal, m.freeOutput)
	}
	if m.opts.OutputDir != "" {
		if s.Folder, s.NoFolder = output.OpenFolder(m.opts.OutputDir); s.NoFolder != nil {
			m.opts.Log.Warn("output is kept in memory alone, and little of it", "error", s.NoFolder)
		}
	}
	return s
}

// find returns the process of that id in the scope, or ErrNotFound.
func (m *Manager) find(scope Scope, id string) (*process, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p, ok := m.scopes[scope][id]; ok {
		return p, nil
	}
	return nil, ErrNotFound
}

// Output returns a process and its output so far. When the process is said to
// have ended, the output holds everything that it wrote before its exit. It
// returns ErrNotFound for an id that is not the scope's.
func (m *Manager) Output(scope Scope, id string) (Process, output.View, error) {
	p, err := m.find(scope, id)
	if err != nil {
		return Process{}, output.View{}, err
	}
	// In this order: what the state says must hold for the output.
	s := p.snapshot()
	// Of an ended process nothing is held back: half a character at the end of
	// what it wrote is shown as it is.
	return s, p.output.View(s.OutputOpen && s.State.Running(), true), nil
}

// Read is Output, for who wants another part of it.
func (m *Manager) Read(scope Scope, id string) (Process, output.Reader, error) {
	p, err := m.find(scope, id)
	if err != nil {
		return Process{}, nil, err
	}
	return p.snapshot(), &p.output, nil
}

// Usage returns what a process has used so far together with what it forked, also
// of one that has ended. It returns ErrNotFound for an id that is not the scope's;
// any other error means that it cannot be seen.
func (m *Manager) Usage(scope Scope, id string) (Usage, error) {
	p, err := m.find(scope, id)
	if err != nil {
		return Usage{}, err
	}
	if p.lives() {
		return p.spawned.Usage()
	}
	return p.snapshot().Exit.Usage, nil
}

// Ports returns the TCP ports on which a process listens, or something that it
// forked, by number and then address; none of one of which nothing lives. In a
// sandbox with a network of its own they are ports of that network. It returns
// ErrNotFound for an id that is not the scope's. Any other error means that they
// cannot be seen: errors.ErrUnsupported of a remote process (Process.Remote), and
// of all on other systems than Linux.
func (m *Manager) Ports(scope Scope, id string) ([]Port, error) {
	p, err := m.find(scope, id)
	switch {
	case err != nil:
		return nil, err
	case !p.lives():
		return nil, nil
	}
	return p.launcher.ports(p.spawned)
}

// Filter selects processes by whether something of them is alive: the command or
// what it forked.
type Filter string

const (
	FilterAll     Filter = "all"
	FilterRunning Filter = "running"
	FilterEnded   Filter = "ended"
)

// List returns at most limit processes of the scope, those of which something is
// alive first, then the newest start first, and how many more there are.
func (m *Manager) List(scope Scope, filter Filter, limit int) (list []Process, omitted int) {
	type entry struct {
		p       *process
		running bool
	}
	m.mu.Lock()
	entries := make([]entry, 0, len(m.scopes[scope]))
	for _, p := range m.scopes[scope] {
		running := p.lives()
		if filter == FilterAll || running == (filter == FilterRunning) {
			entries = append(entries, entry{p, running})
		}
	}
	m.mu.Unlock()

	slices.SortFunc(entries, func(a, b entry) int {
		if a.running != b.running {
			if a.running {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.p.seq, a.p.seq)
	})
	shown := min(limit, len(entries))
	list = make([]Process, 0, shown)
	suspended := m.spawner.AnySuspended()
	for _, e := range entries[:shown] {
		list = append(list, e.p.look(suspended))
	}
	return list, len(entries) - shown
}
