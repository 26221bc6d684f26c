package procmgr

import (
	"runtime"
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
	h, err := m.In(scope).Find(id)
	return h.p, err
}

// Output is [Handle.View].
func (m *Manager) Output(scope Scope, id string) (Process, output.View, error) {
	h, err := m.In(scope).Find(id)
	if err != nil {
		return Process{}, output.View{}, err
	}
	p, v := h.View()
	return p, v, nil
}

// Read is [Handle.Snapshot] and [Handle.Output].
func (m *Manager) Read(scope Scope, id string) (Process, output.Reader, error) {
	h, err := m.In(scope).Find(id)
	if err != nil {
		return Process{}, nil, err
	}
	return h.Snapshot(), h.Output(), nil
}

// Usage is [Handle.Usage].
func (m *Manager) Usage(scope Scope, id string) (Usage, error) {
	h, err := m.In(scope).Find(id)
	if err != nil {
		return Usage{}, err
	}
	return h.Usage()
}

// Ports is [Handle.Ports].
func (m *Manager) Ports(scope Scope, id string) ([]Port, error) {
	h, err := m.In(scope).Find(id)
	if err != nil {
		return nil, err
	}
	return h.Ports()
}

// List is [Scoped.List].
func (m *Manager) List(scope Scope, filter Filter, limit int) (list []Process, omitted int) {
	return m.In(scope).List(filter, limit)
}
