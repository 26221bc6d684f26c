package procmgr

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/coder/quartz"

	"github.com/proctor-mcp/proctor/procmgr/spawn"
)

const (
	// DefaultForgetAfter is how long an ended process is kept whose exit was reported.
	DefaultForgetAfter = 5 * time.Minute
	// MaxKeep is how long a process is kept, reported or not, once it and all that it
	// forked have ended.
	MaxKeep = time.Hour
	// DefaultGrace is the time between SIGTERM and SIGKILL at a time limit and
	// at the manager's own end.
	DefaultGrace = 5 * time.Second
	// DefaultKeepFinished is how many finished processes of a scope are kept.
	DefaultKeepFinished = 100
	// RequestTTL is how long a request id is known.
	RequestTTL = 24 * time.Hour
	// MaxRequestIDs is how many request ids of one scope are known at a time.
	MaxRequestIDs = 16384
)

// Options configure a [Manager]. The zero value is usable, with an empty
// environment.
//
// Hooks (Wrap, Dir, Env.Update) are called at each start, several at a time, by the
// goroutine that starts. One that panics passes that on to the caller of the start;
// nothing is started then.
type Options struct {
	// Host is what the program has set up for all processes (spawn.Setup). With nil
	// nothing that concerns the whole program is changed, and the kill domain is the
	// process group, which processes can leave ([Reach]).
	Host *spawn.Host
	// Shell is put before a Spec's Command. Nil is {"sh", "-c"}.
	Shell []string
	// Wrap changes the argv of each process before it is started, for instance
	// to put a sandbox in front. Nil leaves it.
	Wrap func(argv []string) []string
	// Launcher is put before each process's argv, shell included: a program that
	// runs its arguments as a command, such as bwrap or ssh, and its own arguments.
	// It is looked up in the PATH of Env.Inherit. What runs a command elsewhere
	// (Facts.Remote) is known by the name of its program.
	Launcher []string
	Env      EnvOptions
	// Dir is asked at each start for the working directory. Nil, an answer of ""
	// or of what is no directory means $HOME of Env.Inherit, else this program's own.
	Dir func() string
	// ForgetAfter is how long a process is kept whose exit was reported
	// ([Handle.MarkReported]), once it and all that it forked have ended. 0 is
	// DefaultForgetAfter; more than MaxKeep is MaxKeep.
	ForgetAfter time.Duration
	// KeepFinished is how many processes of a scope are kept that have ended together
	// with all that they forked. When there is one more, the reported one that ended
	// first is forgotten, else the one that ended first. 0 is DefaultKeepFinished.
	KeepFinished int
	// MaxRunningPerScope and MaxRunning are how many processes of a scope, and of
	// all, may run at a time. A process counts from its start until it and all that it
	// forked have ended. 0 is no limit.
	MaxRunningPerScope, MaxRunning int
	Output                         OutputOptions
	// Grace is the time between SIGTERM and SIGKILL at a process's time limit
	// and in Close. 0 is DefaultGrace.
	Grace time.Duration
	// Clock is the time, by which everything is stamped and waited for. Nil is the
	// real one.
	Clock quartz.Clock
	// Log gets the records of processes whose Spec has no logger. Nil discards. The
	// records of a process carry chat_id (Scope.String) and process_id.
	Log *slog.Logger

	test testHooks
}

// EnvOptions say what processes find in their environment.
type EnvOptions struct {
	// Inherit is the environment that processes begin with, as os.Environ returns it.
	// Variables named PROCTOR_* are never passed on.
	Inherit []string
	// Deny names variables of Inherit that are not passed on either. A trailing *
	// stands for any ending.
	Deny []string
	// AllowQuestions leaves out the variables that keep programs from asking
	// questions, paging and drawing: GIT_TERMINAL_PROMPT, GIT_EDITOR,
	// GIT_SEQUENCE_EDITOR, EDITOR, VISUAL, PAGER, GIT_PAGER, TERM and NO_COLOR. A
	// process with a terminal still has a TERM.
	AllowQuestions bool
	// Update may change the environment of each process. What the Spec asks for comes
	// after it. If it returns an error, that is logged and its result is not used.
	Update func(env []string) ([]string, error)
}

// OutputOptions say how much output is kept, in bytes, and where.
type OutputOptions struct {
	// Dir is where output goes that is more than output.MemoryBytes, see
	// output.OpenFolder. "" is nowhere: only so much is kept of each process then.
	Dir string
	// Max is how much is kept of each process, the first and the last: 0 is
	// output.DefaultMax, less than 2 MiB is 2 MiB.
	Max int64
	// Total is how much the output of all processes may take together. When it takes
	// more, that of finished processes gives way, first of those that were reported and
	// ended first; then the longest running keep less. 0 is no limit.
	Total int64
	// Memory is how much of it may be in memory. When there is more, it goes to Dir, or
	// away, in the same order. 0 is no limit.
	Memory int64
}

// testHooks are how commands are started and signalled, for tests to stand in
// between. Nil is by package spawn.
type testHooks struct {
	start  func(*spawn.Spawner, spawn.Command, spawn.Events) (*spawn.Process, error)
	signal func(*spawn.Process, Signal) error
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
	o.ForgetAfter = min(cmp.Or(o.ForgetAfter, DefaultForgetAfter), MaxKeep)
	o.KeepFinished = cmp.Or(o.KeepFinished, DefaultKeepFinished)
	o.Grace = cmp.Or(o.Grace, DefaultGrace)
	if o.Clock == nil {
		o.Clock = quartz.NewReal()
	}
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	if o.test.start == nil {
		o.test.start = (*spawn.Spawner).Start
	}
	if o.test.signal == nil {
		o.test.signal = (*spawn.Process).Signal
	}
	return o
}
