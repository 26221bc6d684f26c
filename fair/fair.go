// Package fair lets a few work at a time, each key in turn: however much work one key
// queues, the next key waits for the work that is under way, not for the queue.
package fair

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Longest is how long a turn lasts at most. Work that hangs, for example on a dead
// network directory, then no longer holds up the others.
const Longest = time.Second

// Queue hands out places. Its methods may be called concurrently.
type Queue[K comparable] struct {
	longest time.Duration // of a turn

	mu     sync.Mutex // guards the fields below
	free   int        // places that nobody has
	queues map[K][]*waiter
	turns  []K // keys with a queue, the next one first
}

// waiter is somebody in a queue.
type waiter struct {
	enter func() // takes the place; it is called once, and does not block
}

// New returns a queue with that many places, at least one.
func New[K comparable](places int) *Queue[K] {
	return &Queue[K]{longest: Longest, free: places, queues: map[K][]*waiter{}}
}

// Turn is a place for at most [Longest]. A holder that takes longer loses the place
// and works on without it.
type Turn struct {
	leave func()
	timer *time.Timer
}

// Leave gives the place back. A second call does nothing.
func (t *Turn) Leave() {
	t.timer.Stop()
	t.leave()
}

// Keep makes the place last until Leave, unless it is lost already.
func (t *Turn) Keep() { t.timer.Stop() }

func (q *Queue[K]) turn() *Turn {
	leave := sync.OnceFunc(q.Leave)
	return &Turn{leave, time.AfterFunc(q.longest, leave)}
}

// Turn waits for a place. It returns the context's error if that ends first.
func (q *Queue[K]) Turn(ctx context.Context, key K) (*Turn, error) {
	if err := q.Enter(ctx, key); err != nil {
		return nil, err
	}
	return q.turn(), nil
}

// Begin returns a turn if a place is free. Else it returns nil, and calls f in a
// goroutine of its own once there is a place: what waits here costs no goroutine.
func (q *Queue[K]) Begin(key K, f func(*Turn)) *Turn {
	if q.join(key, &waiter{func() { go func() { f(q.turn()) }() }}) {
		return q.turn()
	}
	return nil
}

// Enter waits for a place, which lasts until Leave. It returns the context's error if
// that ends first, or has ended, even if a place is free.
func (q *Queue[K]) Enter(ctx context.Context, key K) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entered := make(chan struct{})
	w := &waiter{func() { close(entered) }}
	if q.join(key, w) {
		return nil
	}
	select {
	case <-entered:
		return nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.removeLocked(key, w) { // it got its place meanwhile
		q.leaveLocked()
	}
	return ctx.Err()
}

// Leave gives a place to the next key in turn.
func (q *Queue[K]) Leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.leaveLocked()
}

// join takes a place if one is free. Else it puts w behind the others of its key.
func (q *Queue[K]) join(key K, w *waiter) (entered bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.free > 0 {
		q.free--
		return true
	}
	if len(q.queues[key]) == 0 {
		q.turns = append(q.turns, key)
	}
	q.queues[key] = append(q.queues[key], w)
	return false
}

func (q *Queue[K]) leaveLocked() {
	if len(q.turns) == 0 {
		q.free++
		return
	}
	key := q.turns[0]
	q.turns = q.turns[1:]
	waiting := q.queues[key]
	waiting[0].enter()
	waiting[0] = nil // the slice below goes on to hold it
	if len(waiting) == 1 {
		delete(q.queues, key)
		return
	}
	q.queues[key] = waiting[1:]
	q.turns = append(q.turns, key)
}

// removeLocked takes w out of the queue and reports whether it was there.
func (q *Queue[K]) removeLocked(key K, w *waiter) bool {
	i := slices.Index(q.queues[key], w)
	if i < 0 {
		return false
	}
	q.queues[key] = slices.Delete(q.queues[key], i, i+1)
	if len(q.queues[key]) == 0 {
		delete(q.queues, key)
		q.turns = slices.DeleteFunc(q.turns, func(k K) bool { return k == key })
	}
	return true
}
