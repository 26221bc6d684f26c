package procmgr

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/proctor-mcp/proctor/procmgr/spawn"
)

var (
	// ErrNotFound reports that the scope has no process of that id.
	ErrNotFound = errors.New("no such process")
	// ErrClosed reports that the manager was closed and starts nothing.
	ErrClosed = errors.New("process manager is closed")
	// ErrScope reports a scope that is the zero value or names an invalid chat.
	ErrScope = errors.New("invalid scope")
	// ErrRequestConflict reports a request id that was used with other input.
	ErrRequestConflict = errors.New("request id was used with other input")
	// ErrTooManyRequests reports that the scope has used MaxRequestIDs within RequestTTL.
	ErrTooManyRequests = errors.New("too many request ids")
)

// InputError reports a field of a [Spec] or an [Input] that cannot be used.
type InputError struct {
	Field string // command, launcher, env, workdir, stdin, split, tty, timeout, request_id; or text, "rows, cols" of an Input
	Got   string // what was given, shortened
	Want  string // what is allowed
}

func (e *InputError) Error() string {
	return fmt.Sprintf("invalid %s: got %s, want %s", e.Field, e.Got, e.Want)
}

// RemoteError reports what cannot reach a command, since its launcher runs it elsewhere.
type RemoteError struct {
	Field    string // workdir or signal
	Got      string // what was given
	Launcher string // the name of its program
}

func (e *RemoteError) Error() string {
	return fmt.Sprintf("%s %s does not pass the launcher %s", e.Field, e.Got, e.Launcher)
}

// Limits of [Options] that a start can meet.
const (
	LimitRunning         Limit = "max_running"          // Options.MaxRunning
	LimitRunningPerScope Limit = "max_running_per_chat" // Options.MaxRunningPerScope
)

// LimitError reports that a start would exceed one of these limits, or
// [LimitPidsPerScope].
type LimitError struct {
	spawn.LimitError // which limit, and how much of it is in use
	// ID and Command are those of the scope's longest running process, "" if it has none.
	ID, Command string
}

// StartError reports that the system did not start a command.
type StartError struct {
	Dir string // the working directory
	Err error  // why
}

func (e *StartError) Error() string {
	return fmt.Sprintf("cannot start process in %s: %v", e.Dir, e.Err)
}

func (e *StartError) Unwrap() error { return e.Err }

// Shortage is what the system is short of when it refuses a start, by the name
// of its error in errno(3).
type Shortage string

const (
	ShortageDescriptors Shortage = "EMFILE" // descriptors of this program, RLIMIT_NOFILE
	ShortageFiles       Shortage = "ENFILE" // open files of the whole system
	ShortageProcesses   Shortage = "EAGAIN" // processes and threads of the user, of a cgroup or of the system
	ShortageMemory      Shortage = "ENOMEM" // memory
	ShortageArguments   Shortage = "E2BIG"  // room for arguments and environment, see execve(2)
	ShortageSpace       Shortage = "ENOSPC" // room of a file system, or of a kernel table
)

// Shortage returns what the system is short of, or "" if it refused for another
// reason. errors.As finds the system's own error, a [syscall.Errno].
func (e *StartError) Shortage() Shortage {
	var errno syscall.Errno
	errors.As(e.Err, &errno)
	return map[syscall.Errno]Shortage{
		syscall.EMFILE: ShortageDescriptors,
		syscall.ENFILE: ShortageFiles,
		syscall.EAGAIN: ShortageProcesses,
		syscall.ENOMEM: ShortageMemory,
		syscall.E2BIG:  ShortageArguments,
		syscall.ENOSPC: ShortageSpace,
	}[errno]
}
