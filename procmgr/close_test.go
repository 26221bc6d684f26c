//go:build linux

package procmgr

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/coder/quartz"

	"github.com/proctor-mcp/proctor/procmgr/spawn"
	"github.com/proctor-mcp/proctor/proctest"
)

// gate holds up starts in the system until it is opened.
type gate struct {
	arrived chan struct{}
	open    chan struct{}
}

func newGate() gate { return gate{make(chan struct{}, 100), make(chan struct{})} }

func (g gate) start(s *spawn.Spawner, cmd spawn.Command, events spawn.Events) (*spawn.Process, error) {
	g.arrived <- struct{}{}
	<-g.open
	return s.Start(cmd, events)
}

func TestCloseEndsEverythingAndRefusesStarts(t *testing.T) {
	clock := quartz.NewMock(t)
	m := New(Options{Env: EnvOptions{Inherit: os.Environ()}, Host: host, Clock: clock})
	var all []Process
	for i := range 3 {
		all = append(all,
			start(t, m, Chat(fmt.Sprint("c", i)), Spec{Command: proctest.Child("ignore-term")}),
			start(t, m, NoChat("t"), Spec{Command: proctest.Child("fork", "2")}))
	}
	var pids []int
	for _, p := range all {
		awaitOutput(t, m, p, "ready")
		members, err := of(t, m, p).Survivors()
		if err != nil {
			t.Fatal(err)
		}
		for _, member := range members {
			pids = append(pids, member.Pid)
		}
	}
	if len(pids) != 3+9 {
		t.Fatalf("%d pids", len(pids))
	}
	closed := make(chan error)
	go func() {
		_, err := m.Close(t.Context())
		closed <- err
	}()
	for i := 1; i < len(all); i += 2 { // those that obey
		<-of(t, m, all[i]).p.gone
	}
	clock.Advance(DefaultGrace).MustWait(t.Context())
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if proctest.Alive(pid) {
			t.Errorf("%d survived", pid)
		}
	}
	for i, p := range all {
		p, _ := wait(t, m, p)
		want := "SIGTERM"
		if i%2 == 0 {
			want = "SIGKILL"
		}
		if p.Exit.Reason != ReasonShutdown || p.Exit.Signal != want {
			t.Errorf("got %+v, want %s", p.Exit, want)
		}
	}
	if _, err := m.In(Chat("c")).Start(t.Context(), Spec{Command: "true"}); !errors.Is(err, ErrClosed) {
		t.Errorf("start after Close: %v", err)
	}
	if _, err := m.Close(t.Context()); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestCloseWaitsForAStartInFlight(t *testing.T) {
	g := newGate()
	m := New(Options{Env: EnvOptions{Inherit: os.Environ()}, Host: host, test: testHooks{start: g.start}})
	var s Started
	var wg sync.WaitGroup
	wg.Go(func() {
		var err error
		if s, err = m.In(Chat("c")).Start(t.Context(), Spec{Command: "exec sleep 100"}); err != nil {
			t.Error(err)
		}
	})
	<-g.arrived
	wg.Go(func() {
		if _, err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	proctest.Within(t, "closed", func() bool {
		return m.isClosing()
	})
	close(g.open)
	wg.Wait()
	if p, _ := wait(t, m, s.Snapshot()); p.Exit.Reason != ReasonShutdown {
		t.Errorf("got %+v", p)
	}
}

// If a start takes longer than Close, its command is ended as soon as it runs.
func TestCloseDoesNotWaitForeverForAStart(t *testing.T) {
	g := newGate()
	m := New(Options{Env: EnvOptions{Inherit: os.Environ()}, Host: host, test: testHooks{start: g.start}})
	command, token := proctest.Sleeper()
	started := make(chan error)
	go func() {
		_, err := m.In(Chat("c")).Start(t.Context(), Spec{Command: "exec " + command})
		started <- err
	}()
	<-g.arrived
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Close(ctx); err == nil {
		t.Error("Close does not report the start that it did not wait for")
	}
	close(g.open)
	if err := <-started; !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	if left := proctest.Sleepers(token); len(left) > 0 {
		t.Errorf("its command lives: %v", left)
	}
	m.spawner.Wait()
	m.background.Wait()
}

func TestCloseNamesWhatItCannotEnd(t *testing.T) {
	m := New(Options{Env: EnvOptions{Inherit: os.Environ()}, Host: host,
		test: testHooks{signal: func(*spawn.Process, Signal) error { return nil }}})
	p := sh(t, m, "exec sleep 100")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Close(ctx); err == nil || !strings.Contains(err.Error(), p.ID) {
		t.Errorf("got %v", err)
	}
	of(t, m, p).p.spawned.Signal(SignalKill)
	wait(t, m, p)
	m.spawner.Wait()
}

// held is an environment hook that holds up one start.
type held struct{ arrived, release chan struct{} }

func newHeld() held { return held{make(chan struct{}), make(chan struct{})} }

func (h held) update(env []string) ([]string, error) {
	close(h.arrived)
	<-h.release
	return env, nil
}

// A start that a hook holds up does not hold up Close, and starts nothing afterwards. Close
// releases a call that waits for that start.
func TestNothingStartsOnceCloseWasCalled(t *testing.T) {
	h := newHeld()
	started := 0
	m := New(Options{
		Env: EnvOptions{Inherit: os.Environ(), Update: h.update}, Host: host,
		test: testHooks{start: func(s *spawn.Spawner, cmd spawn.Command, events spawn.Events) (*spawn.Process, error) {
			started++
			return s.Start(cmd, events)
		}},
	})
	first, second := make(chan error), make(chan error)
	ask := func(answer chan error) {
		_, err := m.In(Chat("c")).Start(t.Context(), Spec{Command: "exec sleep 100", RequestID: "r"})
		answer <- err
	}
	go ask(first)
	<-h.arrived
	go ask(second)
	if _, err := m.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-second; !errors.Is(err, ErrClosed) {
		t.Errorf("the call that waits for the start: got %v", err)
	}
	close(h.release)
	if err := <-first; !errors.Is(err, ErrClosed) || started != 0 {
		t.Errorf("the start: got %v, and %d started", err, started)
	}
}

func TestCloseReleasesStartsThatWaitForTheirTurn(t *testing.T) {
	m := New(Options{Env: EnvOptions{Inherit: os.Environ()}, Host: host})
	for range max(2, runtime.GOMAXPROCS(0)) {
		if err := m.starts.Enter(t.Context(), Chat("busy")); err != nil {
			t.Fatal(err)
		}
	}
	waiting := make(chan error)
	go func() {
		_, err := m.In(Chat("c")).Start(t.Context(), Spec{Command: "exec sleep 100"})
		waiting <- err
	}()
	if _, err := m.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-waiting; !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// The caller gets the panic of a hook. Another call that waits for the same request id
// then starts the process, and nothing is left of the first.
func TestPanicOfAHook(t *testing.T) {
	h := newHeld()
	var once sync.Once
	m := newManager(t, Options{Env: EnvOptions{Inherit: os.Environ(), Update: func(env []string) ([]string, error) {
		once.Do(func() {
			_, _ = h.update(env)
			panic("hook")
		})
		return env, nil
	}}})
	spec := Spec{Command: "true", RequestID: "r"}
	panicked := make(chan any)
	go func() {
		defer func() { panicked <- recover() }()
		_, err := m.In(Chat("c")).Start(t.Context(), spec)
		t.Errorf("got %v", err)
	}()
	<-h.arrived
	second := make(chan Started)
	go func() {
		s, err := m.In(Chat("c")).Start(t.Context(), spec)
		if err != nil {
			t.Error(err)
		}
		second <- s
	}()
	close(h.release)
	if got := <-panicked; got != "hook" {
		t.Errorf("the caller got the panic %v", got)
	}
	if s := <-second; s.Attached {
		t.Errorf("got %+v", s)
	} else {
		waitGone(t, m, s.Snapshot())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if b := m.scopes[Chat("c")]; b.running != 0 || b.finished != 1 {
		t.Errorf("%d running and %d finished are counted", b.running, b.finished)
	}
}

// The manager holds none of its locks when it calls the embedding program.
func TestHooksAndLogMayCallTheManager(t *testing.T) {
	var m *Manager
	look := func() { m.In(Chat("c")).List(FilterAll, 10) }
	m = newManager(t, Options{
		Wrap: func(argv []string) []string { look(); return argv },
		Dir:  func() string { look(); return "" },
		Env: EnvOptions{Inherit: os.Environ(), Update: func(env []string) ([]string, error) {
			look()
			return nil, errors.New("to be logged")
		}},
		KeepFinished: 1, MaxRunningPerScope: 2,
		Log: slog.New(calls{look}),
	})
	for range 3 {
		waitGone(t, m, sh(t, m, "true"))
	}
	p := sh(t, m, "exec sleep 100")
	signal(t, m, p, SignalTerminate)
	waitGone(t, m, p)
}

// calls is a log handler that calls a function for each record.
type calls struct{ f func() }

func (calls) Enabled(context.Context, slog.Level) bool    { return true }
func (c calls) Handle(context.Context, slog.Record) error { c.f(); return nil }
func (c calls) WithAttrs([]slog.Attr) slog.Handler        { return c }
func (c calls) WithGroup(string) slog.Handler             { return c }
