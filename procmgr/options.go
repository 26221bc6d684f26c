package procmgr

import (
	"log/slog"
	"time"

	"github.com/coder/quartz"

	"github.com/proctor-mcp/proctor/procmgr/spawn"
)

const (
	// DefaultForgetAfter is how long an ended process that was told is kept.
	DefaultForgetAfter = 5 * time.Minute
	// MaxKeep is how long a process is kept, told or not, once it has ended and
	// nothing that it forked is alive.
	MaxKeep = time.Hour
	// DefaultGrace is the time between SIGTERM and SIGKILL at a time limit and
	// at the manager's own end.
	DefaultGrace = 5 * time.Second
	// DefaultKeepFinished is how many ended processes of a scope are kept.
	DefaultKeepFinished = 100
	// RequestTTL is how long a request id is known.
	RequestTTL = 24 * time.Hour
	// MaxRequestIDs is how many request ids of one scope are known at a time.
	MaxRequestIDs = 16384
)

// Options configure a [Manager]. The zero value is usable, with an empty
// environment.
type Options struct {
	// Host is what the program has set up for all processes (spawn.Setup). With nil
	// nothing that concerns the whole program is changed, and the kill domain is the
	// process group.
	Host *spawn.Host
	// Shell is put before a Spec's Command. Nil is {"sh", "-c"}.
	Shell []string
	// Wrap changes the argv of each process before it is started, for instance
	// to put a sandbox in front. Nil leaves it.
	Wrap func(argv []string) []string
	// Launcher is put before each process's argv, shell included: a program that
	// runs its arguments as a command, such as bwrap or ssh, and its own arguments.
	// It is looked up in the PATH of Environ. What runs a command elsewhere
	// (Process.Remote) is known by the name of its program.
	Launcher []string
	// Environ is the environment that processes inherit, as os.Environ returns
	// it. Variables named PROCTOR_* are never passed on.
	Environ []string
	// DenyEnv names variables of Environ that are not passed on either. A
	// trailing * stands for any ending.
	DenyEnv []string
	// AllowQuestions leaves out the variables that keep programs from asking
	// questions, paging and drawing: GIT_TERMINAL_PROMPT, GIT_EDITOR,
	// GIT_SEQUENCE_EDITOR, EDITOR, VISUAL, PAGER, GIT_PAGER, TERM and NO_COLOR. A
	// process with a terminal still has a TERM.
	AllowQuestions bool
	// UpdateEnv may change the environment of each process. What the Spec asks
	// for comes after it. Its error is logged and its result ignored then.
	UpdateEnv func(env []string) ([]string, error)
	// Dir is asked at each start for the working directory. Nil, an answer of ""
	// or of what is no directory means $HOME of Environ, else this program's own.
	Dir func() string
	// ForgetAfter is how long a process is kept that was told (Manager.Told), once
	// it has ended and nothing that it forked is alive. 0 is DefaultForgetAfter;
	// more than MaxKeep is MaxKeep.
	ForgetAfter time.Duration
	// KeepFinished is how many processes of a scope are kept of which nothing lives
	// any more. When one more has ended, the one that ended first of those that were
	// told is forgotten, else the one that ended first. 0 is DefaultKeepFinished.
	KeepFinished int
	// MaxRunningPerScope and MaxRunning are how many processes of a scope, and of
	// all, may run at a time. A process counts from its start until nothing of it
	// and of what it forked is alive. 0 is no limit.
	MaxRunningPerScope, MaxRunning int
	// OutputDir is where output goes that is more than output.MemoryBytes, see
	// output.OpenFolder. "" is nowhere: only so much is kept of each process then.
	OutputDir string
	// OutputMax is how many bytes are kept of each process, the first and the last:
	// 0 is output.DefaultMax, less than 2 MiB is 2 MiB.
	OutputMax int64
	// OutputTotal is how many bytes the output of all processes may take together.
	// When it takes more, that of finished ones gives way, first of those that were
	// told and ended first; then the longest running keep less. 0 is no limit.
	OutputTotal int64
	// OutputMemory is how many bytes of it may be in memory. When there are more,
	// they go to OutputDir, or away, in the same order. 0 is no limit.
	OutputMemory int64
	// Grace is the time between SIGTERM and SIGKILL at a process's time limit
	// and in Close. 0 is DefaultGrace.
	Grace time.Duration
	// Clock is the time. Nil is the real one.
	Clock quartz.Clock
	// Log gets the records of processes whose Spec has no logger. Nil discards. The
	// records of a process carry chat_id (Scope.String) and process_id.
	Log *slog.Logger

	// How commands are started and signalled, for tests to stand in between. Nil is
	// by package spawn.
	testStart  func(*spawn.Spawner, spawn.Command, spawn.Events) (*spawn.Process, error)
	testSignal func(*spawn.Process, Signal) error
}

func (o Options) withDefaults() Options {
	if o.Shell == nil {
		o.Shell = []string{"sh", "-c"}
	}
	if o.Wrap == nil {
		o.Wrap = func(argv []string) []string { return argv }
	}
	if o.Dir == nil {
		o.Dir = func() string { return "" }
	}
	if o.ForgetAfter == 0 {
		o.ForgetAfter = DefaultForgetAfter
	}
	if o.KeepFinished == 0 {
		o.KeepFinished = DefaultKeepFinished
	}
	o.ForgetAfter = min(o.ForgetAfter, MaxKeep)
	if o.Grace == 0 {
		o.Grace = DefaultGrace
	}
	if o.Clock == nil {
		o.Clock = quartz.NewReal()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.testStart == nil {
		o.testStart = (*spawn.Spawner).Start
	}
	if o.testSignal == nil {
		o.testSignal = (*spawn.Process).Signal
	}
	return o
}
