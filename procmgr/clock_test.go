//go:build linux

package procmgr

import (
	"testing"
	"time"

	"github.com/coder/quartz"
)

// All times are by one clock: when it stands still, they are all the same.
func TestTimesAreByOneClock(t *testing.T) {
	clock := quartz.NewMock(t)
	m := newManager(t, Options{Clock: clock})
	p := waitGone(t, m, sh(t, m, "echo x"))
	_, written, _ := of(t, m, p).p.output.Changed()
	for what, at := range map[string]time.Time{"start": p.StartedAt, "exit": p.Exit.At, "snapshot": p.At, "output": written} {
		if !at.Equal(clock.Now()) {
			t.Errorf("%s at %v, want %v", what, at, clock.Now())
		}
	}
}

func TestWaitsAreByTheClock(t *testing.T) {
	clock := quartz.NewMock(t)
	m := newManager(t, Options{Clock: clock})
	p := sh(t, m, "echo x; exec sleep 100")
	awaitOutput(t, m, p, "x")
	clock.Advance(time.Hour).MustWait(t.Context())
	if w := of(t, m, p).WaitFor(t.Context(), Condition{Idle: time.Hour}); w.Result != WaitIdle {
		t.Errorf("it was idle for an hour before: got %+v", w)
	}

	trap := clock.Trap().NewTimer("wait")
	defer trap.Close()
	waited := make(chan Waited)
	go func() {
		waited <- of(t, m, p).WaitFor(t.Context(), Condition{Idle: time.Hour, IdleFromNow: true})
	}()
	timer := trap.MustWait(t.Context())
	timer.MustRelease(t.Context())
	if timer.Duration != time.Hour {
		t.Errorf("it waits for %v", timer.Duration)
	}
	clock.Advance(time.Hour).MustWait(t.Context())
	if w := <-waited; w.Result != WaitIdle {
		t.Errorf("idle from now on: got %+v", w)
	}
}
