package fair

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/proctor-mcp/proctor/proctest"
)

func TestKeysTakeTurns(t *testing.T) {
	q := New[string](1)
	queued := func() (n int) {
		q.mu.Lock()
		defer q.mu.Unlock()
		for _, waiting := range q.queues {
			n += len(waiting)
		}
		return n
	}
	if err := q.Enter(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	order := make(chan string, 10)
	wait := func(key string) {
		before := queued()
		go func() {
			if err := q.Enter(context.Background(), key); err != nil {
				t.Error(err)
			}
			order <- key
			q.Leave()
		}()
		proctest.Await(t, "it to queue", func() bool { return queued() == before+1 })
	}
	for range 3 {
		wait("flood")
	}
	wait("quiet")
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error, 1)
	go func() { gaveUp <- q.Enter(ctx, "impatient") }()
	proctest.Await(t, "it to queue", func() bool { return queued() == 5 })
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	q.Leave()
	got := ""
	for range 4 {
		got += <-order + " "
	}
	if got != "flood quiet flood flood " {
		t.Errorf("the order is %s", got)
	}
	proctest.Await(t, "the place to be free", func() bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		return q.free == 1 && len(q.queues) == 0 && len(q.turns) == 0
	})
}

func TestATurnEndsAfterItsTime(t *testing.T) {
	q := New[string](1)
	q.longest = time.Millisecond
	held, err := q.Turn(t.Context(), "held-up")
	if err != nil {
		t.Fatal(err)
	}
	other, err := q.Turn(t.Context(), "other") // does not wait for the one that is held up
	if err != nil {
		t.Fatal(err)
	}
	other.Leave()
	held.Leave() // comes back late, and gives back nothing twice
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.free != 1 {
		t.Errorf("%d places", q.free)
	}
}

// BenchmarkTurn measures a turn that nobody else waits for.
func BenchmarkTurn(b *testing.B) {
	q := New[string](2)
	for b.Loop() {
		turn, err := q.Turn(b.Context(), "key")
		if err != nil {
			b.Fatal(err)
		}
		turn.Leave()
	}
}

// A caller whose context has ended gets no place, even if one is free.
func TestEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	q := New[string](1)
	if err := q.Enter(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := q.Enter(t.Context(), "a"); err != nil {
		t.Error(err)
	}
}
