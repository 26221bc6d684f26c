package tools

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/proctest"
)

func TestGateTakesChatsInTurn(t *testing.T) {
	g := newGate(1)
	queued := func() (n int) {
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, waiting := range g.queue {
			n += len(waiting)
		}
		return n
	}
	if err := g.enter(t.Context(), procmgr.Chat("x")); err != nil {
		t.Fatal(err)
	}
	order := make(chan string, 10)
	wait := func(chat string) {
		before := queued()
		go func() {
			if err := g.enter(context.Background(), procmgr.Chat(chat)); err != nil {
				t.Error(err)
			}
			order <- chat
			g.leave()
		}()
		proctest.Within(t, "it to queue", func() bool { return queued() == before+1 })
	}
	for range 3 {
		wait("flood")
	}
	wait("quiet")
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error, 1)
	go func() { gaveUp <- g.enter(ctx, procmgr.Chat("impatient")) }()
	proctest.Within(t, "it to queue", func() bool { return queued() == 5 })
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	g.leave()
	got := ""
	for range 4 {
		got += <-order + " "
	}
	if got != "flood quiet flood flood " {
		t.Errorf("the order is %s", got)
	}
	proctest.Within(t, "the place to be free", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.free == 1 && len(g.queue) == 0 && len(g.turns) == 0
	})
}

func TestATurnThatIsHeldUpIsTakenAway(t *testing.T) {
	g := newGate(1)
	g.longest = time.Millisecond
	held, err := g.turn(t.Context(), procmgr.Chat("held-up"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	leave, err := g.turn(ctx, procmgr.Chat("other"))
	if err != nil {
		t.Fatalf("another chat waits: %v", err)
	}
	leave()
	held() // comes back late, and gives back nothing twice
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.free != 1 {
		t.Errorf("%d places", g.free)
	}
}
