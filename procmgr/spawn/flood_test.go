//go:build linux

package spawn

import (
	"sync/atomic"
	"testing"

	"github.com/proctor-mcp/proctor/proctest"
)

// resting counts the outputs that are not read for the moment.
func resting(l *loop) (n int) {
	looked := make(chan struct{})
	l.post(func() {
		n = len(l.floods.resting)
		close(looked)
	})
	<-looked
	return n
}

// Many floods take turns, and others go on beside them.
func TestManyFloodsRest(t *testing.T) {
	s := New(Options{Host: host})
	var floods []*run
	for i := range 8 {
		// What a command that has ended leaves behind is no better.
		command := []string{"exec yes", "yes & exit 0"}[i%2]
		floods = append(floods, startWith(t, s, Command{Argv: []string{"sh", "-c", command}}))
	}
	defer func() {
		for _, r := range floods {
			r.Signal(SignalKill)
		}
	}()
	l := floods[0].loop
	proctest.Within(t, "all rest", func() bool { return resting(l) == len(floods) })
	if e := startWith(t, s, Command{Argv: []string{"sh", "-c", "exit 3"}}).ended(); e.Code != 3 {
		t.Errorf("got %+v", e)
	}
	for _, r := range floods[2:] {
		r.Signal(SignalKill)
		r.emptied()
	}
	proctest.Within(t, "few never rest", func() bool {
		for range 1000 {
			if resting(l) > 0 {
				return false
			}
		}
		return true
	})
}

// Nothing of a flood is lost while it rests.
func TestRestingLosesNothing(t *testing.T) {
	const each = 30 << 20
	s := New(Options{Host: host})
	t.Cleanup(s.Wait)
	var totals [8]atomic.Int64
	exits := make(chan Exit, len(totals))
	for i := range totals {
		p, err := s.Start(Command{Argv: []string{"head", "-c", "31457280", "/dev/zero"}, Dir: t.TempDir(), Env: []string{"PATH=/usr/bin:/bin"}}, Events{
			Stdout:       func(b []byte) { totals[i].Add(int64(len(b))) },
			OutputClosed: func() {},
			Exited:       func(e Exit) { exits <- e },
			Emptied:      func(Usage) {},
		})
		if err != nil {
			t.Fatal(err)
		}
		p.Follow()
	}
	for range totals {
		if e := <-exits; e.Code != 0 {
			t.Errorf("got %+v", e)
		}
	}
	for i := range totals {
		if n := totals[i].Load(); n != each {
			t.Errorf("got %d of %d bytes", n, each)
		}
	}
}
