// Package fair lets a few work at a time, in turn by whom they work for: what one
// floods the program with waits behind one another and not before what another
// wants.
package fair

import (
	"context"
	"sync"
	"time"
)

// Longest is how long a turn may take. Work that is held up, by a dead network
// directory perhaps, must not hold up others.
const Longest = time.Second

// Queue hands out places. Its methods may be called concurrently.
type Queue[K comparable] struct {
	longest time.Duration // that a turn may take

	mu    sync.Mutex            // guards the fields below
	free  int                   // places
	queue map[K][]chan struct{} // those that want one, by key; closed to let in
	turns []K                   // keys with somebody in the queue, next one first
}

// New returns a queue for so many places, at least one.
func New[K comparable](places int) *Queue[K] {
	return &Queue[K]{longest: Longest, free: places, queue: map[K][]chan struct{}{}}
}

// Turn is a place that its holder loses after Longest; he goes on without it then.
type Turn struct {
	leave func()
	timer *time.Timer
}

// Turn waits for a place, or returns the context's error.
func (q *Queue[K]) Turn(ctx context.Context, key K) (*Turn, error) {
	if err := q.Enter(ctx, key); err != nil {
		return nil, err
	}
	leave := sync.OnceFunc(q.Leave)
	return &Turn{leave, time.AfterFunc(q.longest, leave)}, nil
}

// Leave gives the place back; calling it again does nothing.
func (t *Turn) Leave() {
	t.timer.Stop()
	t.leave()
}

// Keep has the place not be lost any more before Leave.
func (t *Turn) Keep() { t.timer.Stop() }

// Enter waits for a place, or returns the error of a context that has ended, also if
// one is free. A place is there until Leave.
func (q *Queue[K]) Enter(ctx context.Context, key K) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	if q.free > 0 {
		q.free--
		q.mu.Unlock()
		return nil
	}
	in := make(chan struct{})
	if len(q.queue[key]) == 0 {
		q.turns = append(q.turns, key)
	}
	q.queue[key] = append(q.queue[key], in)
	q.mu.Unlock()
	select {
	case <-in:
		return nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-in: // it was let in meanwhile
		q.leaveLocked()
	default:
		q.dropLocked(key, in)
	}
	return ctx.Err()
}

// Leave gives a place to the next key in turn.
func (q *Queue[K]) Leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.leaveLocked()
}

func (q *Queue[K]) leaveLocked() {
	if len(q.turns) == 0 {
		q.free++
		return
	}
	key := q.turns[0]
	q.turns = q.turns[1:]
	waiting := q.queue[key]
	close(waiting[0])
	if len(waiting) == 1 {
		delete(q.queue, key)
		return
	}
	q.queue[key] = waiting[1:]
	q.turns = append(q.turns, key)
}

// dropLocked takes one out of the queue.
func (q *Queue[K]) dropLocked(key K, in chan struct{}) {
	waiting := q.queue[key]
	for i := range waiting {
		if waiting[i] == in {
			waiting = append(waiting[:i:i], waiting[i+1:]...)
			break
		}
	}
	if len(waiting) > 0 {
		q.queue[key] = waiting
		return
	}
	delete(q.queue, key)
	for i := range q.turns {
		if q.turns[i] == key {
			q.turns = append(q.turns[:i:i], q.turns[i+1:]...)
			return
		}
	}
}
