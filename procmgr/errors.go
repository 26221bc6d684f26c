package procmgr

import (
	"errors"
	"fmt"
)

var (
	// ErrNotFound: no process of that id in this scope.
	ErrNotFound = errors.New("no such process")
	// ErrNotRunning: the process has ended and nothing of it is left to signal.
	ErrNotRunning = errors.New("process is not running")
	// ErrUnsupportedSignal: the signal does not exist here.
	ErrUnsupportedSignal = errors.New("unsupported signal")
	// ErrNotPermitted: the system does not let this program signal the process.
	ErrNotPermitted = errors.New("not permitted to signal the process")
	// ErrClosed: the manager no longer starts processes.
	ErrClosed = errors.New("process manager is closed")
	// ErrScope: the scope is the zero value or names an invalid chat.
	ErrScope = errors.New("invalid scope")
	// ErrRequestConflict: the request id was used with other input.
	ErrRequestConflict = errors.New("request id was used with other input")
	// ErrTooManyRequests: the scope has used MaxRequestIDs within RequestTTL.
	ErrTooManyRequests = errors.New("too many request ids")
)

// InputError says which part of a [Spec] cannot be used, and what it may be.
type InputError struct {
	Field string // command, env, workdir, stdin, timeout or request_id
	Got   string // what was given, shortened
	Want  string // what is allowed
}

func (e *InputError) Error() string {
	return fmt.Sprintf("invalid %s: got %s, want %s", e.Field, e.Got, e.Want)
}

// StartError says that the system did not start a command.
type StartError struct {
	Dir string // the working directory
	Err error  // the system's reason
}

func (e *StartError) Error() string {
	return fmt.Sprintf("cannot start process in %s: %v", e.Dir, e.Err)
}

func (e *StartError) Unwrap() error { return e.Err }
