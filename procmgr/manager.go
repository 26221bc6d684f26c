package procmgr

import (
	"context"
	"sync"

	"github.com/proctor-mcp/proctor/fair"
	"github.com/proctor-mcp/proctor/procmgr/lockorder"
	"github.com/proctor-mcp/proctor/procmgr/output"
	"github.com/proctor-mcp/proctor/procmgr/spawn"
)

// Manager owns processes. Its methods may be called concurrently.
type Manager struct {
	opts       Options
	spawner    *spawn.Spawner
	background sync.WaitGroup     // what later has started
	starts     *fair.Queue[Scope] // turns to start something
	scans      *fair.Queue[Scope] // turns to look through output for a call that waits
	space      *output.Space
	closing    context.Context    // ends when Close is called
	close      context.CancelFunc // is called under mu
	closed     chan struct{}      // closed when the first Close is through

	mu        lockorder.Mutex[managerPlace] // guards the fields below
	seq       uint64                        // of the last start
	goneSeq   uint64                        // of the process that was gone last
	running   int                           // as in belongings, for all scopes
	scopes    scopes
	launching sync.WaitGroup // commands that are being started; none is added once closing has ended
	late      bool           // Close waits for launching no longer
}

type managerPlace struct{}

func (managerPlace) Place() (int, bool) { return 200, false }

// KillDomain is how much of what a command forked a signal reaches here.
func (m *Manager) KillDomain() KillDomain { return m.spawner.KillDomain() }

// isClosing reports whether Close was called. Under mu the answer lasts.
func (m *Manager) isClosing() bool { return m.closing.Err() != nil }

// later runs a function that may block, of which Close waits for the end.
func (m *Manager) later(f func()) { m.background.Go(f) }
