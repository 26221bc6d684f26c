package procmgr

import (
	"context"
	"time"

	"github.com/proctor-mcp/proctor/procmgr/output"
)

// Condition is what to wait for beside the exit. Any one of what is set ends the wait.
type Condition struct {
	// Match waits for a line of the output that matches and begins at the offset Cursor
	// or behind it. Nil does not.
	Match  *output.Pattern
	Cursor int64
	// NewOutput waits for output behind the offset Behind.
	NewOutput bool
	Behind    int64
	// Idle waits until nothing was written for so long, the time before the call
	// included unless IdleFromNow. 0 does not.
	Idle        time.Duration
	IdleFromNow bool
	// Asks waits until the process waits for [Handle.Input], as in
	// Process.WaitsForInput, and has written nothing for a tenth of a second.
	Asks bool
	// Port waits until a process of the kill domain listens on that port. 0 does not.
	Port int
	// Probes wait for more.
	Probes []Probe
}

// Probe waits for something that the manager knows nothing of.
type Probe struct {
	Result WaitResult // of the wait when Ready returns nil
	// Ready returns nil when it has what it waits for. When its context ends, it returns
	// what was missing.
	Ready func(context.Context) error
}

// WaitResult is what has ended a wait.
type WaitResult string

const (
	WaitExited    WaitResult = "exited"
	WaitMatch     WaitResult = "output_matches"
	WaitNewOutput WaitResult = "new_output"
	WaitIdle      WaitResult = "idle"
	WaitAsks      WaitResult = "waiting_for_input"
	WaitPort      WaitResult = "port_open"
	WaitOver      WaitResult = "timeout" // the context has ended
)

// Waited is how a wait has ended.
type Waited struct {
	Result WaitResult
	Line   output.Line // the line that matched
	// Lost is how many bytes of output could not be searched for Match: they were no
	// longer kept.
	Lost int64
	// Missing are the errors of the probes that were not ready.
	Missing []error
}
