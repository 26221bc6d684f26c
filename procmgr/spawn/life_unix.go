//go:build unix

package spawn

import (
	"fmt"
	"slices"

	"github.com/proctor-mcp/proctor/procmgr/lockorder"
)

// stage is where a command stands in its life. The diagram is in the package
// documentation.
type stage string

const (
	stageRunning stage = "running" // its program runs
	stageEnded   stage = "ended"   // its exit was seen; its number is still its own
	stageReaped  stage = "reaped"  // its number may belong to another process
	stageClosed  stage = "closed"  // its kill domain is gone or was given up: nobody uses it
)

// stageEdges are the legal steps.
func stageEdges() map[stage][]stage {
	return map[stage][]stage{
		stageRunning: {stageEnded},
		stageEnded:   {stageReaped},
		stageReaped:  {stageClosed},
		stageClosed:  nil,
	}
}

// life is the stage of a command.
type life struct {
	// pin guards the steps to stageReaped and stageClosed, which are taken while it is
	// held for writing. Whoever uses the number of the command or its kill domain holds
	// it for reading. It is held across looks through /proc and signals, and the loop
	// never takes it.
	pin lockorder.RWMutex[pinPlace]

	mu      lockorder.Mutex[lifePlace] // guards the field below
	current stage                      // "" is stageRunning
}

type (
	pinPlace  struct{}
	lifePlace struct{}
)

func (pinPlace) Place() (int, bool)  { return 10, true }
func (lifePlace) Place() (int, bool) { return 110, false }

// stage returns where the command stands.
func (l *life) stage() stage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stageLocked()
}

func (l *life) stageLocked() stage {
	if l.current == "" {
		return stageRunning
	}
	return l.current
}

// isReaped reports whether the number of the command may belong to another process.
func (l *life) isReaped() bool {
	s := l.stage()
	return s == stageReaped || s == stageClosed
}

// advance takes a legal step. Another is a bug in this package.
func (l *life) advance(to stage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if from := l.stageLocked(); !slices.Contains(stageEdges()[from], to) {
		panic(fmt.Sprintf("spawn: a command cannot go from %s to %s", from, to))
	}
	l.current = to
}
