package procmgr

import (
	"context"
	"time"

	"github.com/proctor-mcp/proctor/procmgr/output"
)

// Engine starts commands. It is the manager's only way to where they run; the
// default is this machine ([Local]).
type Engine interface {
	// Start starts cmd and returns once its program runs. After an error no
	// event is delivered. Before [EngineProcess.Follow] was called, none but those
	// of output is.
	Start(cmd EngineCommand, events EngineEvents) (EngineProcess, error)
	// Wait returns when no event will be delivered any more. It is called once,
	// after every process was released.
	Wait()
	// AnySuspended says that a signal may have stopped a command; if it says no,
	// nobody need ask each.
	AnySuspended() bool
	// KillDomain is what a signal reaches: how much of what a command forked.
	KillDomain() KillDomain
}

// KillDomain is what a signal to a process reaches.
type KillDomain string

const (
	KillDomainCgroup      KillDomain = "cgroup"        // everything it forked: a control group of Linux
	KillDomainDescendants KillDomain = "descendants"   // everything it forked that can be found
	KillDomainGroup       KillDomain = "process_group" // what has not left its process group
	KillDomainJob         KillDomain = "job"           // everything it forked: a job object of Windows
)

// EngineCommand is what an engine is to run.
type EngineCommand struct {
	Launcher []string // put before Argv; its own processes get no signal but kill, stop and continue
	Argv     []string // program and arguments
	Search   []string // environment whose PATH names the first program; nil is Env
	Dir      string   // working directory
	Env      []string // the whole environment, KEY=value
	Stdin    []byte   // given as input, then end of file; nil is no input
	Keep     bool     // stdin stays open, for [EngineProcess.Write]
	TTY      Size     // of the terminal that stdin, stdout and stderr are; zero is none
	Split    bool     // stdout and stderr have a pipe each
	Group    string   // names those that share the limits of a chat
}

// EngineEvents is how an engine tells what happens. Each is called at most once
// at a time.
type EngineEvents struct {
	Output       func(stream output.Stream, p []byte) // more output; p is valid during the call
	OutputClosed func()                               // once: no more output; before Exited unless a descendant holds it
	Exited       func(EngineExit)                     // once: every byte written before the exit was delivered
	Emptied      func(Usage)                          // once, after Exited, unless that said so or it was released: nothing it forked is alive, and what was used in all
}

// EngineExit is how a command ended.
type EngineExit struct {
	At     time.Time // when it was seen
	Code   int       // exit code, unless Signal or Lost
	Signal string    // name of the signal that ended it
	Lost   bool      // nobody knows
	Empty  bool      // nothing that it forked is alive
	Limits []Limit   // that it has run into
	Usage  Usage     // so far
}

// EngineProcess reaches a started command and what it forked.
type EngineProcess interface {
	// Follow has the exit told. It is called once.
	Follow()
	// Signal reaches the whole kill domain. What SignalKill does not end at once
	// the engine goes on to end until Emptied. ErrNotRunning means that nothing is
	// left to reach, ErrUnsupportedSignal that there is no such signal,
	// ErrNotPermitted that what is left runs as another user.
	Signal(Signal) error
	// Members are the living processes of the kill domain, the command included.
	// An error means that they cannot be seen.
	Members() ([]Member, error)
	// Usage is what the command and what it forked have used so far. An error means
	// that it cannot be seen.
	Usage() (Usage, error)
	// Ports are the TCP ports on which the kill domain listens, by number and then
	// address, each in its own network namespace. An error means that they cannot be
	// seen.
	Ports() ([]Port, error)
	// Write gives input, and then the end of it if end is set, in turn with other
	// calls. It returns how much was taken. Errors are those of [Manager.Input];
	// ErrInputFull comes with the end of ctx.
	Write(ctx context.Context, text []byte, end bool) (int, error)
	// Resize changes the size of the terminal.
	Resize(Size) error
	// WaitsForInput says that a process in the foreground blocks in reading its input,
	// or polls it; "" and false if neither is seen.
	WaitsForInput() (wait InputWait, polled bool)
	// Ended says that the exit was seen, also before Exited.
	Ended() bool
	// Suspended says that a signal has stopped the command.
	Suspended() bool
	// Release gives up what is left of the output and, after Exited, of the kill
	// domain.
	Release()
}

// Signal is what can be sent to a process.
type Signal string

const (
	// SignalTerminate asks a process to end and can be ignored (SIGTERM, then
	// SIGCONT so that a stopped one can obey).
	SignalTerminate Signal = "terminate"
	// SignalKill ends a process (SIGKILL).
	SignalKill      Signal = "kill"
	SignalInterrupt Signal = "interrupt" // SIGINT, as Ctrl-C
	SignalHangup    Signal = "hangup"    // SIGHUP
	SignalQuit      Signal = "quit"      // SIGQUIT
	SignalUser1     Signal = "user1"     // SIGUSR1
	SignalUser2     Signal = "user2"     // SIGUSR2
	SignalStop      Signal = "stop"      // SIGSTOP: it stands still until SignalContinue
	SignalContinue  Signal = "continue"  // SIGCONT
)

// Signals returns every signal.
func Signals() []Signal {
	return []Signal{
		SignalTerminate, SignalKill, SignalInterrupt, SignalHangup, SignalQuit,
		SignalUser1, SignalUser2, SignalStop, SignalContinue,
	}
}

// name returns what the system calls a signal that can end a process, else "".
func (s Signal) name() string {
	switch s {
	case SignalInterrupt:
		return "SIGINT"
	case SignalHangup:
		return "SIGHUP"
	case SignalQuit:
		return "SIGQUIT"
	case SignalUser1:
		return "SIGUSR1"
	case SignalUser2:
		return "SIGUSR2"
	}
	return ""
}

// Usage is what a command has used together with what it forked. What of that the
// system does not count is told at spawn.Usage.
type Usage struct {
	User, System time.Duration // CPU time
	MaxRSS       int64         // largest resident memory of any one, or of all when they were looked at, in bytes
	MaxMemory    int64         // most that all held together with the page cache, in bytes; 0 without a limit on memory
	RSS          int64         // resident memory of all that live, in bytes
	Processes    int           // how many live
}

// Port is a TCP port on which a process listens, or something that it forked.
type Port struct {
	Port    int
	Address string // as netip.Addr writes it: 127.0.0.1, 0.0.0.0 (all of IPv4), :: (all)
}

// Limit is a bound on what a process uses together with what it forked, or all
// processes of its scope.
type Limit string

const (
	LimitMemory         Limit = "memory_limit"
	LimitMemoryPerScope Limit = "memory_limit_per_chat"
	LimitPids           Limit = "pids_limit"
	LimitPidsPerScope   Limit = "pids_limit_per_chat"
)

// Member is a living process of a kill domain.
type Member struct {
	Pid     int
	Command string // its name, as the kernel knows it
	State   string // one letter, as in ps(1)
}
