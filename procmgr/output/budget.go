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
	work sync.WaitGroup

	mu       sync.Mutex // guards the field below
	clearing bool       // a goroutine of work makes room
	less     sync.Cond  // there is more room, or clearing has ended
}

// NewBudget returns a budget of max bytes. When the stores come near to it, a goroutine
// calls free, which makes stores hold less until enough returns true. No two calls of
// free run at a time. A store that exceeds the budget waits until it holds again, or
// until free has returned.
func NewBudget(max int64, free func(enough func() bool)) *Budget {
	b := &Budget{max: max, free: free}
	b.less.L = &b.mu
	return b
}

// Used returns how many bytes the stores hold.
func (b *Budget) Used() int64 { return b.used.Load() }

// add counts n bytes more and reports whether room must be made.
func (b *Budget) add(n int64) (over bool) {
	return b != nil && n != 0 && b.used.Add(n) > b.max-b.max/16 && n > 0
}

// makeRoom has an eighth of the budget freed in the background: so much that it is
// seldom needed. It waits only while the budget is exceeded.
func (b *Budget) makeRoom() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.clearing {
		b.clearing = true
		b.work.Go(b.clear)
	}
	for b.clearing && b.Used() > b.max {
		b.less.Wait()
	}
}

func (b *Budget) clear() {
	b.free(func() bool {
		b.less.Broadcast()
		return b.Used() <= b.max-b.max/8
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clearing = false
	b.less.Broadcast()
}

// wait waits for the goroutine that makes room.
func (b *Budget) wait() {
	if b != nil {
		b.work.Wait()
	}
}
