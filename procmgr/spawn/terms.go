package spawn

import (
	"errors"
	"time"

	"github.com/proctor-mcp/proctor/procmgr/spawn/cgroup"
	"github.com/proctor-mcp/proctor/procmgr/spawn/inspect"
)

// The terms in this file are shared with the callers. Package procmgr has them under the
// same names, as package os has those of io/fs.

var (
	// ErrNotRunning reports that nothing is left that a signal could reach.
	ErrNotRunning = errors.New("process is not running")
	// ErrUnsupportedSignal reports that this system has no such signal.
	ErrUnsupportedSignal = errors.New("unsupported signal")
	// ErrNotPermitted reports that the system does not let this program signal what is
	// left: it runs as another user.
	ErrNotPermitted = errors.New("not permitted to signal the process")
	// ErrNoInput reports that a command was started without an input that stays open.
	ErrNoInput = errors.New("process takes no input")
	// ErrNoTerminal reports that a command was started without a terminal, or that this
	// system has none to give.
	ErrNoTerminal = errors.New("process has no terminal")
	// ErrInputClosed reports that nobody reads the input any more, or that it was ended.
	ErrInputClosed = errors.New("input is closed")
	// ErrInputLine reports a line that is longer than the 4,095 bytes that a terminal
	// keeps of one while it reads whole lines.
	ErrInputLine = errors.New("line of input is too long for a terminal")
	// ErrInputFull reports that not all of the input was taken in time.
	ErrInputFull = errors.New("input is full")
)

// KillDomain is how much of what a command forked a signal reaches.
type KillDomain string

const (
	// KillDomainCgroup is everything: each command has a control group of its own,
	// which nothing leaves.
	KillDomainCgroup KillDomain = "cgroup"
	// KillDomainDescendants is everything that is found by parents, adoption, tags and
	// markers.
	KillDomainDescendants KillDomain = "descendants"
	// KillDomainProcessGroup is what has not left the process group of the command.
	KillDomainProcessGroup KillDomain = "process_group"
	// KillDomainJob is everything: a job object of Windows, which nothing leaves.
	KillDomainJob KillDomain = "job"
)

// Signal is what can be sent to a process, by its meaning.
type Signal string

const (
	// SignalTerminate asks a process to end, which it can ignore: SIGTERM, then SIGCONT
	// so that a stopped one can obey, and in a terminal SIGHUP, since shells ignore
	// SIGTERM there.
	SignalTerminate Signal = "terminate"
	// SignalKill ends a process: SIGKILL, until nothing of the kill domain is left.
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

// Command is what to run.
type Command struct {
	// Launcher is put before Argv: a program that runs its arguments as a command
	// on this machine. On Linux its own processes get only the signals kill, stop and
	// continue.
	Launcher []string
	// Argv is the program and its arguments. A name without a slash is looked
	// up in the PATH of Search; one with a slash is relative to Dir. With a
	// Launcher it is the launcher that looks.
	Argv []string
	// Search is the environment whose PATH names the program, or the launcher's.
	// Nil is Env.
	Search []string
	// Dir is the working directory; it must exist.
	Dir string
	// Env is the whole environment, as KEY=value.
	Env []string
	// Stdin is given to the command, then end of file unless KeepStdin. Nil is
	// /dev/null, or nothing.
	Stdin []byte
	// KeepStdin keeps a pipe to stdin open, for [Process.Write].
	KeepStdin bool
	// TTY gives the command a terminal of that size, its controlling one, as stdin,
	// stdout and stderr. Zero is none. Split has no effect then.
	TTY Size
	// Split gives stdout and stderr a pipe each. Else they share one, and what is
	// written to both stays in order.
	Split bool
	// Scope names the commands that share the limits per scope of [Limits].
	Scope string
}

// Size is that of a terminal, in characters. Zero is no terminal.
type Size struct{ Rows, Cols int }

// Events is what the caller learns. The functions are called from goroutines of
// the Spawner. Stdout, Stderr and OutputClosed must not block: they hold up the output and
// the exits of every other command.
type Events struct {
	// Stdout delivers what was written to stdout, and to stderr as well unless
	// Command.Split; Stderr the rest. Neither is called while the other or itself runs.
	// p is only valid during the call.
	Stdout, Stderr func(p []byte)
	// OutputClosed is called once, after all output: nobody holds a pipe any more.
	// If that is so at the exit, it is called before Exited.
	OutputClosed func()
	// Exited is called once, after every byte written before the exit was delivered.
	Exited func(Exit)
	// Gone is called once, after Exited unless that reported it already: nothing
	// that the command forked is alive. It gets what was used in all. It is not called
	// after [Process.Release].
	Gone func(Usage)
}

// Exit is how a command ended.
type Exit struct {
	// At is when the exit was seen, by the clock of [Options].
	At time.Time
	// Code is the exit code, or -1 when a signal ended it or Lost.
	Code int
	// Signal names the signal that ended it ("SIGKILL"), or is empty.
	Signal string
	// Lost reports that another part of the program took the exit status.
	Lost bool
	// Gone reports that nothing that it forked is alive.
	Gone bool
	// Limits are those of [Limits] that it has run into.
	Limits []Limit
	// Usage is what it and all that it forked have used so far.
	Usage Usage
}

// Usage is what a command has used together with what it forked, including daemons. In
// KillDomainProcessGroup it leaves out the processes that the command has not waited for;
// on Windows it leaves out the CPU time of all but the command.
type Usage struct {
	User, System time.Duration // CPU time
	// MaxRSS is the largest resident memory in bytes of any one process, or of all
	// together when they were looked at, whichever is more. Linux counts the memory
	// that the command shares with this program until it runs its own (vfork(2)), so
	// it is never less than this program's own peak.
	MaxRSS int64
	// MaxMemory is the most that all have held together, in bytes, including the page
	// cache that they filled. It is only known under a limit on memory, else 0.
	MaxMemory int64
	// RSS and Processes are of all that live now: resident memory in bytes, shared
	// pages counted for each, and how many there are.
	RSS       int64
	Processes int
}

// add adds what another has used.
func (u *Usage) add(other Usage) {
	u.User += other.User
	u.System += other.System
	u.MaxRSS = max(u.MaxRSS, other.MaxRSS)
}

// Member is a living process of a kill domain.
type Member struct {
	Pid     int
	Command string // its name, as the kernel knows it
	State   string // one letter, as in ps(1)
}

// Port is a TCP port on which something of a kill domain listens.
type Port = inspect.Port

// InputWait is how sure it is that a process waits for input.
type InputWait = inspect.InputWait

// See package inspect.
const (
	InputCertain = inspect.InputCertain
	InputPolled  = inspect.InputPolled
)

// The terms of limits, see package cgroup.
type (
	Limits     = cgroup.Limits
	Limit      = cgroup.Limit
	LimitError = cgroup.LimitError
)

const (
	LimitMemory         = cgroup.LimitMemory
	LimitMemoryPerScope = cgroup.LimitMemoryPerScope
	LimitPids           = cgroup.LimitPids
	LimitPidsPerScope   = cgroup.LimitPidsPerScope
)

var (
	ErrMemoryLimit = cgroup.ErrMemoryLimit
	ErrPidsLimit   = cgroup.ErrPidsLimit
)
