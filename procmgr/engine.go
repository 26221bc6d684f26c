package procmgr

import (
	"context"
	"time"
)

// Engine starts commands. It is the manager's only way to where they run; the
// default is this machine ([Local]).
type Engine interface {
	// Start starts cmd and returns once its program runs. After an error no
	// event is delivered.
	Start(cmd EngineCommand, events EngineEvents) (EngineProcess, error)
	// Wait returns when no event will be delivered any more. It is called once,
	// after every process has ended and was released.
	Wait()
}

// EngineCommand is what an engine is to run.
type EngineCommand struct {
	Argv   []string // program and arguments
	Search []string // environment whose PATH names the program; nil is Env
	Dir    string   // working directory
	Env    []string // the whole environment, KEY=value
	Stdin  []byte   // given as input, then end of file; nil is no input
}

// EngineEvents is how an engine tells what happens. Each is called at most once
// at a time.
type EngineEvents struct {
	Output       func(p []byte)   // more output; p is valid during the call
	OutputClosed func()           // once: no more output; before Exited unless a descendant holds it
	Exited       func(EngineExit) // once: every byte written before the exit was delivered
}

// EngineExit is how a command ended.
type EngineExit struct {
	At     time.Time // when it was seen
	Code   int       // exit code, unless Signal or Lost
	Signal string    // name of the signal that ended it
	Lost   bool      // nobody knows
	Usage  Usage
}

// EngineProcess reaches a started command and what it forked.
type EngineProcess interface {
	// Signal reaches the whole kill domain. ErrNotRunning means that nothing is
	// left to reach, ErrUnsupportedSignal that there is no such signal,
	// ErrNotPermitted that what is left runs as another user.
	Signal(Signal) error
	// Members are the living processes of the kill domain, the command included.
	// An error means that they cannot be seen.
	Members() ([]Member, error)
	// Ended says that the exit was seen, also before Exited.
	Ended() bool
	// AwaitGone returns nil once nothing of the kill domain lives, or the
	// context's error. It is called after the exit.
	AwaitGone(ctx context.Context) error
	// Suspended says that a signal has stopped the command.
	Suspended() bool
	// Release gives up what is left of the output.
	Release()
}

// Signal is what can be sent to a process.
type Signal string

const (
	// SignalTerminate asks a process to end and can be ignored (SIGTERM, then
	// SIGCONT so that a stopped one can obey).
	SignalTerminate Signal = "terminate"
	// SignalKill ends a process (SIGKILL).
	SignalKill Signal = "kill"
)

// Usage is what a command and the descendants it waited for have used.
type Usage struct {
	User, System time.Duration // CPU time
	MaxRSS       int64         // largest resident memory of any one of them, in bytes
}

// Member is a living process of a kill domain.
type Member struct {
	Pid     int
	Command string // its name, as the kernel knows it
	State   string // one letter, as in ps(1)
}
