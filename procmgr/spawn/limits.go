package spawn

import (
	"errors"
	"fmt"
)

var (
	// ErrMemoryLimit says that memory cannot be limited.
	ErrMemoryLimit = errors.New("memory cannot be limited here")
	// ErrPidsLimit says that the number of processes cannot be limited.
	ErrPidsLimit = errors.New("the number of processes cannot be limited here")
)

// Limits bound what commands use together with what they forked. 0 is no bound.
type Limits struct {
	// Memory is of each command, MemoryPerGroup of all commands of one
	// Command.Group: bytes, those of the page cache that they fill included. What
	// goes beyond is killed by the kernel.
	Memory, MemoryPerGroup int64
	// Pids and PidsPerGroup count processes and threads likewise. A fork beyond
	// fails with EAGAIN.
	Pids, PidsPerGroup int64
}

// Limit names one of [Limits].
type Limit string

const (
	LimitMemory         Limit = "memory"
	LimitMemoryPerGroup Limit = "memory_per_group"
	LimitPids           Limit = "pids"
	LimitPidsPerGroup   Limit = "pids_per_group"
)

// LimitError says that a command was not started because one of [Limits] is used
// up.
type LimitError struct {
	Limit     Limit
	Used, Max int64
	Err       error // the system's
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("limit %s reached, %d of %d used: %v", e.Limit, e.Used, e.Max, e.Err)
}

func (e *LimitError) Unwrap() error { return e.Err }
