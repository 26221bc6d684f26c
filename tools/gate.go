package tools

import (
	"context"
	"sync"
	"time"

	"github.com/proctor-mcp/proctor/procmgr"
)

// gate lets a few calls work at a time, in turn by chat: what a chat floods the
// server with waits behind one another and not before another chat's call. A
// call that waits for a process does not work.
type gate struct {
	longest time.Duration // that a turn may take

	mu    sync.Mutex                        // guards the fields below
	free  int                               // places
	queue map[procmgr.Scope][]chan struct{} // calls that want one, by chat; closed to let in
	turns []procmgr.Scope                   // chats with calls in the queue, next one first
}

func newGate(places int) *gate {
	return &gate{longest: time.Second, free: places, queue: map[procmgr.Scope][]chan struct{}{}}
}

// turn waits for a place, or returns the context's error. leave gives it back;
// calling it again does nothing. A call that is held up, by a dead network
// directory perhaps, loses its place after the longest turn and goes on without:
// it must not hold up other chats.
func (g *gate) turn(ctx context.Context, scope procmgr.Scope) (leave func(), err error) {
	if err := g.enter(ctx, scope); err != nil {
		return nil, err
	}
	once := sync.OnceFunc(g.leave)
	timer := time.AfterFunc(g.longest, once)
	return func() {
		timer.Stop()
		once()
	}, nil
}

// enter waits for a place, or returns the context's error.
func (g *gate) enter(ctx context.Context, scope procmgr.Scope) error {
	g.mu.Lock()
	if g.free > 0 {
		g.free--
		g.mu.Unlock()
		return nil
	}
	in := make(chan struct{})
	if len(g.queue[scope]) == 0 {
		g.turns = append(g.turns, scope)
	}
	g.queue[scope] = append(g.queue[scope], in)
	g.mu.Unlock()
	select {
	case <-in:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-in: // it was let in meanwhile
		g.leaveLocked()
	default:
		g.dropLocked(scope, in)
	}
	return ctx.Err()
}

// leave gives a place to the next chat in turn.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leaveLocked()
}

func (g *gate) leaveLocked() {
	if len(g.turns) == 0 {
		g.free++
		return
	}
	scope := g.turns[0]
	g.turns = g.turns[1:]
	waiting := g.queue[scope]
	close(waiting[0])
	if len(waiting) == 1 {
		delete(g.queue, scope)
		return
	}
	g.queue[scope] = waiting[1:]
	g.turns = append(g.turns, scope)
}

// dropLocked takes a call out of the queue.
func (g *gate) dropLocked(scope procmgr.Scope, in chan struct{}) {
	waiting := g.queue[scope]
	for i := range waiting {
		if waiting[i] == in {
			waiting = append(waiting[:i:i], waiting[i+1:]...)
			break
		}
	}
	if len(waiting) > 0 {
		g.queue[scope] = waiting
		return
	}
	delete(g.queue, scope)
	for i := range g.turns {
		if g.turns[i] == scope {
			g.turns = append(g.turns[:i:i], g.turns[i+1:]...)
			return
		}
	}
}
