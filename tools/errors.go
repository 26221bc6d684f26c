package tools

import (
	"errors"
	"fmt"
	"strings"
)

var (
	errTarget        = errors.New("process_signal without a target")
	errPanic         = errors.New("panic")
	errGraceWithKill = errors.New("grace with kill")
	errNoScreen      = errors.New("no terminal")
)

// argumentError lists what is wrong with the arguments, field by field.
type argumentError struct{ problems []string }

func (e *argumentError) Error() string { return strings.Join(e.problems, "; ") }

// invalid returns an error about one field.
func invalid(format string, args ...any) *argumentError {
	return &argumentError{[]string{fmt.Sprintf(format, args...)}}
}

// busyError reports that a limit on calls is reached.
type busyError struct {
	who   string
	limit int
	flag  string
}

func (e *busyError) Error() string {
	return fmt.Sprintf("%s has %d calls in progress, the most that %s allows", e.who, e.limit, e.flag)
}

// fullError reports that a process did not take all of its input in time.
type fullError struct{ taken, of int }

func (e *fullError) Error() string {
	return fmt.Sprintf("%d of %d bytes of input taken", e.taken, e.of)
}

// ReadError is why a resource was not read.
type ReadError struct {
	// NotFound reports that there is no such resource for this chat, Invalid that the
	// request is wrong. Else the server could not read it now.
	NotFound, Invalid bool
	// Text tells the client.
	Text string
	err  error
}

func (e *ReadError) Error() string { return e.Text }
func (e *ReadError) Unwrap() error { return e.err }

// Cause returns the innermost error that err wraps: the system's own words for what
// happened, without the operations and paths that the outer errors add.
func Cause(err error) error {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err
}
