//go:build linux

package spawn

import (
	"sync/atomic"
	"testing"
)

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
			Gone:         func(Usage) {},
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
