package output

import (
	"sync"
	"sync/atomic"
)

// Budget bounds what stores that share it hold, in memory or in all. A nil one
// bounds nothing.
type Budget struct {
	max  int64
	free func(enough func() bool)
	used atomic.Int64 // bytes that the stores hold

	mu sync.Mutex // held by the one that makes room; guards no field
}

// NewBudget returns a budget of max bytes. The store whose growth exceeds it calls
// free, which makes stores hold less until enough returns true. No two calls of free run at
// a time, and none while a store is locked.
func NewBudget(max int64, free func(enough func() bool)) *Budget {
	return &Budget{max: max, free: free}
}

// Used returns how many bytes the stores hold.
func (b *Budget) Used() int64 { return b.used.Load() }

// add counts n bytes more and says whether that is too much.
func (b *Budget) add(n int64) (over bool) {
	return b != nil && n != 0 && b.used.Add(n) > b.max && n > 0
}

// makeRoom frees an eighth of the budget, so that it is seldom called.
func (b *Budget) makeRoom() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.Used() > b.max { // nobody did it meanwhile
		b.free(func() bool { return b.Used() <= b.max-b.max/8 })
	}
}
