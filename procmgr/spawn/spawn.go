package spawn

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// DrainTime is how long the output of an ended command is waited for while a
// descendant holds the pipe open. It gives a last helper in a pipeline the time
// to finish and keeps the exit well within a second.
const DrainTime = 500 * time.Millisecond

// readBytes is how much one read of the output takes at most. The default pipe
// holds as much.
const readBytes = 64 << 10

var (
	// ErrGone says that nothing is left that a signal could reach.
	ErrGone = errors.New("process group is empty")
	// ErrUnsupported says that this system has no such signal.
	ErrUnsupported = errors.New("signal is not supported on this system")
	// ErrNoTerminal says that this system has none to give.
	ErrNoTerminal = errors.New("no terminals on this system")
	// ErrNoInput says that a command was started without an input that is kept, or
	// without a terminal.
	ErrNoInput = errors.New("the command takes no input")
	// ErrInputClosed says that nobody reads the input any more, or that it was ended.
	ErrInputClosed = errors.New("the input is closed")
	// ErrInputLine says that a line is longer than what a terminal keeps of one.
	ErrInputLine = errors.New("a line of the input is too long for a terminal")
	// ErrInputFull says that the input was not taken in time.
	ErrInputFull = errors.New("the input is full")
)

// Signal is a signal by its meaning.
type Signal int

const (
	// Terminate asks to end: SIGTERM, followed by SIGCONT so that a stopped
	// process can obey.
	Terminate Signal = iota
	// Kill ends: SIGKILL, until nothing of the kill domain is left.
	Kill
	Interrupt // SIGINT
	Hangup    // SIGHUP
	Quit      // SIGQUIT
	User1     // SIGUSR1
	User2     // SIGUSR2
	Stop      // SIGSTOP
	Continue  // SIGCONT
)

// Domain is what a signal reaches.
type Domain string

const (
	// DomainCgroup is a cgroup of its own for each command: everything that it
	// forked, whatever that did.
	DomainCgroup Domain = "cgroup"
	// DomainDescendants is everything that a command forked, as far as parents,
	// adoption, tags and markers lead to it.
	DomainDescendants Domain = "descendants"
	// DomainGroup is the process group of a command: not what has left it.
	DomainGroup Domain = "process_group"
	// DomainJob is a job object of Windows, which nothing leaves.
	DomainJob Domain = "job"
)

// Command is what to run.
type Command struct {
	// Launcher is put before Argv: a program that runs its arguments as a command
	// on this machine. Signals but Kill, Stop and Continue pass by its own
	// processes, on Linux.
	Launcher []string
	// Argv is the program and its arguments. A name without a slash is looked
	// up in the PATH of Search; one with a slash is relative to Dir. Behind a
	// Launcher it is that which looks.
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
	// TTY gives the command a terminal of that size, its controlling one, for stdin,
	// stdout and stderr. Zero is none. Split is of no use then. Terminate hangs it up
	// as well: shells in a terminal ignore SIGTERM.
	TTY Size
	// Split gives stdout and stderr a pipe each. Else they share one, and what is
	// written to both stays in order.
	Split bool
	// Group names the commands that share the limits per group of [Limits].
	Group string
}

// InputWait says how sure it is that a command waits for input.
type InputWait string

const (
	// InputCertain: something in the foreground blocks in read(2) on the input.
	InputCertain InputWait = "certain"
	// InputPolled: it waits until it can read the input, or for something else.
	InputPolled InputWait = "polled"
)

// Size is that of a terminal, in characters.
type Size struct{ Rows, Cols int }

// Stream is one that a command writes to.
type Stream uint8

const (
	Stdout Stream = iota
	Stderr
)

// Events is what the caller learns. The functions are called from goroutines of
// the Spawner; Output is never called twice at once.
type Events struct {
	// Output delivers what was written, of each stream in order: Stdout for both
	// unless Command.Split. p is only valid during the call.
	Output func(stream Stream, p []byte)
	// OutputClosed is called once, after the last Output: nobody holds a pipe.
	// If that is so at the exit, it is called before Exited.
	OutputClosed func()
	// Exited is called once, after every byte written before the exit was delivered.
	Exited func(Exit)
	// Emptied is called once, after Exited, unless that said so already: nothing
	// that the command forked is alive. It is told what was used in all. It is not
	// called after [Process.Release].
	Emptied func(Usage)
}

// Exit is how a command ended.
type Exit struct {
	// At is when the exit was seen.
	At time.Time
	// Code is the exit code, or -1 when a signal ended it or Lost.
	Code int
	// Signal names the signal that ended it ("SIGKILL"), or is empty.
	Signal string
	// Lost says that another part of the program took the exit status.
	Lost bool
	// Empty says that nothing that it forked is alive.
	Empty bool
	// Limits are those of [Limits] that it has run into.
	Limits []Limit
	// Usage is what it and all that it forked have used so far.
	Usage Usage
}

// Usage is what a command has used together with what it forked, daemons
// included. Where orphans do not come to this program (DomainGroup, macOS) those
// that the command has not waited for are left out, on Windows the CPU time of all
// but the command.
type Usage struct {
	User, System time.Duration // CPU time
	// MaxRSS is the largest resident memory in bytes of any one process, or of all
	// together when they were looked at, whichever is more. Linux counts the memory
	// that the command shares with this program until it runs its own (vfork(2)), so
	// it is never less than this program's own peak.
	MaxRSS int64
	// MaxMemory is the most that all have held together, in bytes, the page cache
	// that they filled included. It is known under a limit on memory alone, else 0.
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
type Port struct {
	Port    int
	Address string // as netip.Addr writes it: 127.0.0.1, 0.0.0.0 (all of IPv4), :: (all)
}

// Spawner starts commands and owns the goroutines that follow them. Its methods
// may be called concurrently.
type Spawner struct {
	host    *Host          // nil: nothing process-wide was set up
	wg      sync.WaitGroup // goroutines, pipes, and commands until they are empty
	noPidfd atomic.Bool    // the kernel refuses pidfds

	bigPipes  atomic.Int32          // how many pipes are large now
	lastFound atomic.Pointer[found] // the program that was looked up last

	mu   sync.Mutex // guards the field below
	loop *loop      // nil before the first start and after Wait
}

// New returns a Spawner. With a host, which [Setup] returns, it has the best kill
// domain that the machine offers; with nil it has the process group, and does
// nothing that concerns the whole program.
func New(host *Host) *Spawner {
	return &Spawner{host: host}
}

// Domain is what its signals reach.
func (s *Spawner) Domain() Domain {
	if s.host == nil {
		return bareDomain
	}
	return s.host.Domain()
}
