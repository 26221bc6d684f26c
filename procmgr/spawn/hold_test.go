//go:build linux

package spawn

import (
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/proctest"
)

// While a signal looks through /proc, the output and the exits of everybody else are
// delivered, and the exit of the one that is signalled is seen.
func TestNobodyWaitsForALook(t *testing.T) {
	if host.KillDomain() == KillDomainProcessGroup {
		t.Skip("a signal to a process group looks for nothing")
	}
	for _, sig := range []Signal{SignalTerminate, SignalKill} {
		t.Run(string(sig), func(t *testing.T) {
			sleep, token := proctest.Sleeper()
			s := New(Options{Host: host})
			signalled := startWith(t, s, Command{Argv: []string{"sh", "-c", "setsid " + sleep + " & echo ready; wait"}})
			other := startWith(t, s, Command{Argv: []string{"sh", "-c", "echo ready; read x; echo got-$x; exit 3"}, KeepStdin: true})
			signalled.await("ready")
			other.await("ready")
			proctest.Within(t, "it stands", func() bool { return len(proctest.Sleepers(token)) == 1 })

			looking, goOn := make(chan struct{}), make(chan struct{})
			hold := sync.OnceFunc(func() {
				close(looking)
				<-goOn
			})
			host.adoption.testHookLook.Store(&hold)
			sent := make(chan error, 1)
			go func() { sent <- signalled.Signal(sig) }()
			<-looking
			reaped := signalled.group.isReaped() // a kill may look when it is
			proctest.Within(t, "its exit is seen", signalled.Ended)
			if _, err := other.Write(t.Context(), []byte("it\n"), false); err != nil {
				t.Error(err)
			}
			other.await("got-it")
			if e := other.ended(); e.Code != 3 {
				t.Errorf("got %+v", e)
			}
			if signalled.group.isReaped() != reaped {
				t.Error("reaped in the middle of a look")
			}
			close(goOn)
			if err := <-sent; err != nil {
				t.Error(err)
			}
			if e := signalled.ended(); e.Signal == "" {
				t.Errorf("got %+v", e)
			}
			signalled.gone()
			other.gone()
			host.adoption.testHookLook.Store(nil)
		})
	}
}

// A command that was released while it ran is followed to its exit. What it leaves behind
// is not waited for.
func TestReleasedCommandLeavesDescendants(t *testing.T) {
	sleep, token := proctest.Sleeper()
	s := New(Options{Host: host})
	r, err := begin(t, s, Command{Argv: []string{"sh", "-c", sleep + " & echo up; read x; exit 3"}, Dir: "/", KeepStdin: true})
	if err != nil {
		t.Fatal(err)
	}
	r.await("up")
	proctest.Within(t, "the descendant runs", func() bool { return len(proctest.Sleepers(token)) == 1 })
	r.Release() // closes its input, so it ends
	if e := r.ended(); e.Code != 3 {
		t.Errorf("got %+v", e)
	}
	s.Wait()
	select {
	case <-r.nothing:
		t.Error("said to be gone")
	default:
	}
	left := proctest.Sleepers(token)
	if len(left) != 1 {
		t.Fatalf("%d descendants live", len(left))
	}
	if err := unix.Kill(left[0], unix.SIGKILL); err != nil {
		t.Error(err)
	}
	proctest.Within(t, "it is dead", func() bool { return len(proctest.Sleepers(token)) == 0 })
}
