package procmgr

import (
	"fmt"
	"slices"
)

// State is the state of a process. The diagram is in the package documentation.
type State string

const (
	StateRunning  State = "running"  // its command runs
	StateStopping State = "stopping" // its command runs and was asked to end
	StateExited   State = "exited"   // its command has ended
	StateLost     State = "lost"     // its command has ended, nobody knows how
)

// Running reports whether the command has not ended.
func (s State) Running() bool { return s == StateRunning || s == StateStopping }

// edges returns the legal steps.
func edges() map[State][]State {
	return map[State][]State{
		StateRunning:  {StateStopping, StateExited, StateLost},
		StateStopping: {StateRunning, StateExited, StateLost},
		StateExited:   nil,
		StateLost:     nil,
	}
}

// transition is the only way to change a state. It panics at an illegal step, which is a
// bug in this package.
func (s *State) transition(to State) {
	if !slices.Contains(edges()[*s], to) {
		panic(fmt.Sprintf("procmgr: a process cannot go from %s to %s", *s, to))
	}
	*s = to
}

// Reason is why a process ended.
type Reason string

const (
	ReasonExited    Reason = "exited"    // by itself, with an exit code
	ReasonSignaled  Reason = "signaled"  // by a signal that was not sent through Handle.Signal
	ReasonRequested Reason = "requested" // after Handle.Signal asked for it
	ReasonTimeout   Reason = "timeout"   // it reached its time limit
	// The kernel ended it at a limit of memory.
	ReasonMemoryLimit                = Reason(LimitMemory)
	ReasonMemoryLimitPerScope        = Reason(LimitMemoryPerScope)
	ReasonShutdown            Reason = "shutdown" // the manager was closed
	ReasonLost                Reason = "lost"     // unknown
)
