package procmgr

import (
	"context"
	"runtime"

	"github.com/proctor-mcp/proctor/fair"
	"github.com/proctor-mcp/proctor/procmgr/output"
	"github.com/proctor-mcp/proctor/procmgr/spawn"
)

// New returns a Manager. Its Close ends all that it runs.
func New(opts Options) *Manager {
	m, _ := NewOwned(opts)
	return m
}

// NewOwned returns a Manager and its Owner, who sees all scopes. A Manager does not lead to
// its Owner, so whoever is given the Manager alone sees no scope but those it names.
func NewOwned(opts Options) (*Manager, *Owner) {
	opts = opts.withDefaults()
	m := &Manager{
		opts:    opts,
		spawner: spawn.New(spawn.Options{Host: opts.Host, Clock: opts.Clock}),
		// A start is mostly work of the kernel: one for each core keeps it busy.
		starts: fair.New[Scope](max(2, runtime.GOMAXPROCS(0))),
		scans:  fair.New[Scope](1),
		closed: make(chan struct{}),
		scopes: scopes{},
	}
	m.closing, m.close = context.WithCancel(context.Background())
	m.space = newSpace(&m.opts, m.freeMemory, m.freeOutput)
	return m, &Owner{m}
}

// newSpace returns the space for the output of all processes. The functions make room in
// it.
func newSpace(opts *Options, freeMemory, freeOutput func(enough func() bool)) *output.Space {
	s := &output.Space{Max: opts.Output.Max, Clock: opts.Clock}
	if opts.Output.Memory > 0 {
		s.Memory = output.NewBudget(opts.Output.Memory, freeMemory)
	}
	if opts.Output.Total > 0 {
		s.Total = output.NewBudget(opts.Output.Total, freeOutput)
	}
	if opts.Output.Dir != "" {
		if s.Folder, s.NoFolder = output.OpenFolder(opts.Output.Dir); s.NoFolder != nil {
			opts.Log.Warn("no folder for output: only a little of it is kept, in memory", "error", s.NoFolder)
		}
	}
	return s
}
