package cgroup

import (
	"errors"
	"fmt"
)

var (
	// ErrMemoryLimit reports that memory cannot be limited here.
	ErrMemoryLimit = errors.New("memory cannot be limited here")
	// ErrPidsLimit reports that the number of processes cannot be limited here.
	ErrPidsLimit = errors.New("the number of processes cannot be limited here")
)

// Limits bound what commands use together with what they forked. 0 is no bound.
type Limits struct {
	// Memory is of each command, MemoryPerScope of all commands of one scope, in bytes.
	// The page cache that they fill counts. The kernel kills what goes beyond.
	Memory, MemoryPerScope int64
	// Pids and PidsPerScope count processes and threads likewise. A fork beyond fails
	// with EAGAIN.
	Pids, PidsPerScope int64
}

// Limit names a bound on what a command uses together with what it forked, or on all
// commands of its scope.
type Limit string

const (
	LimitMemory         Limit = "memory_limit"          // Limits.Memory
	LimitMemoryPerScope Limit = "memory_limit_per_chat" // Limits.MemoryPerScope
	LimitPids           Limit = "pids_limit"            // Limits.Pids
	LimitPidsPerScope   Limit = "pids_limit_per_chat"   // Limits.PidsPerScope
)

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
