package spawn

import (
	"errors"
	"fmt"
)

var (
	// ErrMemoryLimit reports that memory cannot be limited.
	ErrMemoryLimit = errors.New("memory cannot be limited here")
	// ErrPidsLimit reports that the number of processes cannot be limited.
	ErrPidsLimit = errors.New("the number of processes cannot be limited here")
)

// Limits bound what commands use together with what they forked. 0 is no bound.
type Limits struct {
	// Memory is of each command, MemoryPerScope of all commands of one
	// Command.Scope: bytes, those of the page cache that they fill included. What
	// goes beyond is killed by the kernel.
	Memory, MemoryPerScope int64
	// Pids and PidsPerScope count processes and threads likewise. A fork beyond
	// fails with EAGAIN.
	Pids, PidsPerScope int64
}

// LimitError reports that a command was not started because a limit is used up.
type LimitError struct {
	Limit     Limit
	Used, Max int
	Err       error // the system's; nil if it was not asked
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("limit %s reached: %d of %d", e.Limit, e.Used, e.Max)
}

func (e *LimitError) Unwrap() error { return e.Err }
