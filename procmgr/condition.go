package procmgr

import (
	"context"
	"time"

	"github.com/proctor-mcp/proctor/procmgr/output"
)

// Condition says what to wait for beside the exit: any one of what is set.
type Condition struct {
	// Match is looked for in the lines of the output that begin at Cursor or later.
	Match  *output.Pattern
	Cursor int64
	// NewOutput is output behind the offset Behind.
	NewOutput bool
	Behind    int64
	// Idle is how long nothing was written, before the call or, with IdleFromNow,
	// since the call. 0 is not waited for.
	Idle        time.Duration
	IdleFromNow bool
	// Asks is that the process waits for [Handle.Input], as Process.WaitsForInput
	// tells, and has written nothing for a tenth of a second.
	Asks bool
	// Port is one on which a process of the kill domain listens. 0 is none.
	Port int
	// Probes ask for more.
	Probes []Probe
}

// Probe asks for something that only its asker knows.
type Probe struct {
	Result WaitResult // of the wait when it is so
	// Ready returns nil when it is so. It ends with its context, and then returns
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
	WaitOver      WaitResult = "timeout" // the context has ended before
)

// Waited is how a wait has ended.
type Waited struct {
	Result WaitResult
	Line   output.Line // the one that matched
	// Lost is how many bytes of output could not be looked through for Match: they were
	// no longer kept.
	Lost int64
	// Missing is what the probes that were not ready have returned.
	Missing []error
}
