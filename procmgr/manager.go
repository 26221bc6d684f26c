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
	background sync.WaitGroup     // goroutines of later
	starts     *fair.Queue[Scope] // turns to start a process
	scans      *fair.Queue[Scope] // turns to search output for a call that waits
	space      *output.Space
	closing    context.Context    // ends when Close is called
	close      context.CancelFunc // ends closing; called under mu
	closed     chan struct{}      // closed when the first Close returns

	mu        lockorder.Mutex[managerPlace] // guards the fields below
	seq       uint64                        // of the last start
	goneSeq   uint64                        // of the process that was gone last
	running   int                           // as in belongings, for all scopes
	scopes    scopes
	launching sync.WaitGroup // commands that the system is starting; none is added once closing has ended
	late      bool           // Close no longer waits for launching
}

type managerPlace struct{}

func (managerPlace) Place() (int, bool) { return 200, false }

// KillDomain returns how much of what a command forked a signal reaches.
func (m *Manager) KillDomain() KillDomain { return m.spawner.KillDomain() }

// Disarmed reports whether somebody has lowered limits of the program, so that what
// commands fork can be marked no longer. Descendants that hide may outlive a kill then.
func (m *Manager) Disarmed() bool { return m.spawner.Disarmed() }

// isClosing reports whether Close was called. While mu is held, that does not change.
func (m *Manager) isClosing() bool { return m.closing.Err() != nil }

// later runs a function that may block in a goroutine. Close waits for it.
func (m *Manager) later(f func()) { m.background.Go(f) }
