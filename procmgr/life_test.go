//go:build linux

package procmgr

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/quartz"

	"github.com/proctor-mcp/proctor/procmgr/spawn"
	"github.com/proctor-mcp/proctor/proctest"
)

func TestDiagramIsTheTable(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var drawn, legal []string
	for _, m := range regexp.MustCompile(`(?m)^//\t(\w+) +-> (\w+)`).FindAllStringSubmatch(string(text), -1) {
		drawn = append(drawn, m[1]+" "+m[2])
	}
	for from, list := range edges() {
		for _, to := range list {
			legal = append(legal, string(from)+" "+string(to))
		}
	}
	slices.Sort(drawn)
	slices.Sort(legal)
	if !slices.Equal(drawn, legal) {
		t.Errorf("doc.go draws %v, the table has %v", drawn, legal)
	}
}

func TestIllegalTransitionPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("an ended process ran again")
		}
	}()
	(&process{state: StateExited}).transitionLocked(StateRunning)
}

// gone says that the process is forgotten.
func gone(m *Manager, p Process) bool {
	_, _, err := m.Output(p.Scope, p.ID)
	return errors.Is(err, ErrNotFound)
}

// waitGone waits until nothing of the process is alive.
func waitGone(t *testing.T, m *Manager, p Process) Process {
	t.Helper()
	if err := m.WaitGone(t.Context(), p.Scope, p.ID); err != nil {
		t.Fatalf("wait for the end of %q: %v", p.Command, err)
	}
	p, _ = wait(t, m, p)
	return p
}

func TestForgetting(t *testing.T) {
	clock := quartz.NewMock(t)
	m := newManager(t, Options{Clock: clock})
	advance := func(d time.Duration) { clock.Advance(d).MustWait(t.Context()) }

	told := waitGone(t, m, sh(t, m, "true"))
	m.Told(told.Scope, told.ID)
	untold := waitGone(t, m, sh(t, m, "true"))
	lateTold := waitGone(t, m, sh(t, m, "true"))
	for _, p := range []Process{told, untold, lateTold} {
		proctest.Within(t, "its time is set", func() bool { return scheduled(m, p) })
	}
	running := sh(t, m, "exec sleep 100")
	m.Told(running.Scope, running.ID)

	advance(5*time.Minute - 1)
	if gone(m, told) {
		t.Error("forgotten before its time")
	}
	advance(1)
	for name, c := range map[string]struct {
		p    Process
		gone bool
	}{"told": {told, true}, "untold": {untold, false}, "running": {running, false}} {
		if gone(m, c.p) != c.gone {
			t.Errorf("after 5 minutes, %s: forgotten is %v", name, !c.gone)
		}
	}
	m.Told(lateTold.Scope, lateTold.ID)
	advance(4 * time.Minute)
	m.Told(lateTold.Scope, lateTold.ID) // telling it again keeps it no longer
	if gone(m, lateTold) {
		t.Error("told late and forgotten at once")
	}
	advance(time.Minute)
	if !gone(m, lateTold) {
		t.Error("told late and kept")
	}
	for range 10 {
		advance(5 * time.Minute)
	}
	if !gone(m, untold) || gone(m, running) {
		t.Errorf("after an hour: untold gone %v, running gone %v", gone(m, untold), gone(m, running))
	}
}

// What lives is not forgotten, however long ago its command has ended.
func TestForgettingWaitsForDescendants(t *testing.T) {
	clock := quartz.NewMock(t)
	m := newManager(t, Options{Clock: clock})
	p, out := wait(t, m, sh(t, m, proctest.Child("leave")))
	m.Told(p.Scope, p.ID)
	clock.Advance(2 * MaxKeep).MustWait(t.Context())
	if gone(m, p) {
		t.Fatal("forgotten although a descendant lives")
	}
	if list, _ := m.List(p.Scope, FilterRunning, 10); len(list) != 1 || list[0].Descendants != 1 || list[0].State != StateExited {
		t.Errorf("what runs: %+v", list)
	}
	descendant, _ := strconv.Atoi(strings.TrimSpace(out))
	if err := syscall.Kill(descendant, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitGone(t, m, p)
	if list, _ := m.List(p.Scope, FilterEnded, 10); len(list) != 1 || list[0].Descendants != 0 {
		t.Errorf("what has ended: %+v", list)
	}
	proctest.Within(t, "its time is set", func() bool { return scheduled(m, p) })
	clock.Advance(5*time.Minute - 1).MustWait(t.Context())
	if gone(m, p) {
		t.Error("forgotten before its time")
	}
	clock.Advance(1).MustWait(t.Context())
	if !gone(m, p) {
		t.Error("kept for longer than five minutes after its last descendant")
	}
}

// scheduled says that the process is going to be forgotten.
func scheduled(m *Manager, p Process) bool {
	live, err := m.find(p.Scope, p.ID)
	if err != nil {
		return false
	}
	live.mu.Lock()
	defer live.mu.Unlock()
	return live.timers.forget != nil
}

// Who holds the output of a forgotten process is no descendant of it, and keeps
// nothing here.
func TestForgettingLetsTheOutputGo(t *testing.T) {
	fifo := t.TempDir() + "/fifo"
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	clock := quartz.NewMock(t)
	m := newManager(t, Options{Clock: clock})
	// It hands its output to the other one, which opens it through /proc.
	holder := sh(t, m, "read pid < "+fifo+"; exec 3>/proc/$pid/fd/2; echo held; exec sleep 100")
	p := sh(t, m, "echo $$ > "+fifo+"; read forever < "+fifo)
	awaitOutput(t, m, holder, "held")
	if err := m.Signal(p.Scope, p.ID, SignalKill, NoGrace); err != nil {
		t.Fatal(err)
	}
	if p = waitGone(t, m, p); !p.OutputOpen {
		t.Error("nobody holds its output")
	}
	proctest.Within(t, "its time is set", func() bool { return scheduled(m, p) })
	clock.Advance(MaxKeep).MustWait(t.Context())
	if !gone(m, p) {
		t.Error("kept because its output is held")
	}
}

func TestRequestIDs(t *testing.T) {
	clock := quartz.NewMock(t)
	m := newManager(t, Options{Clock: clock})
	spec := Spec{Command: "echo once", Env: map[string]string{"A": "1", "B": "2"}, RequestID: "r"}
	first, err := m.Start(t.Context(), Chat("c"), spec)
	if err != nil || first.Attached {
		t.Fatalf("got %+v, %v", first, err)
	}
	again, err := m.Start(t.Context(), Chat("c"), spec)
	if err != nil || !again.Attached || again.ID != first.ID {
		t.Errorf("again: got %+v, %v", again, err)
	}
	for name, change := range map[string]func(*Spec){
		"command": func(s *Spec) { s.Command = "echo twice" }, "label": func(s *Spec) { s.Label = "x" },
		"env": func(s *Spec) { s.Env = nil }, "dir": func(s *Spec) { s.Dir = "/" }, "stdin": func(s *Spec) { s.Stdin = []byte{} },
		"timeout": func(s *Spec) { s.Timeout = time.Hour }, "background": func(s *Spec) { s.Background = true },
	} {
		other := spec
		change(&other)
		if _, err := m.Start(t.Context(), Chat("c"), other); !errors.Is(err, ErrRequestConflict) {
			t.Errorf("other %s: got %v", name, err)
		}
	}
	elsewhere, err := m.Start(t.Context(), Chat("d"), spec)
	if err != nil || elsewhere.Attached || elsewhere.ID == first.ID {
		t.Errorf("another chat: got %+v, %v", elsewhere, err)
	}

	p := waitGone(t, m, first.Process)
	m.Told(p.Scope, p.ID)
	proctest.Within(t, "its time is set", func() bool { return scheduled(m, p) })
	clock.Advance(5 * time.Minute).MustWait(t.Context())
	forgotten, err := m.Start(t.Context(), Chat("c"), spec)
	if err != nil || !forgotten.Attached || !forgotten.Forgotten || !reflect.DeepEqual(forgotten.Exit, p.Exit) || forgotten.Command != spec.Command {
		t.Errorf("forgotten: got %+v, %v", forgotten, err)
	}
	for range 24 * 12 {
		clock.Advance(5 * time.Minute).MustWait(t.Context())
	}
	if fresh, err := m.Start(t.Context(), Chat("c"), spec); err != nil || fresh.Attached {
		t.Errorf("a day later: got %+v, %v", fresh, err)
	}
}

func TestFailedStartFreesItsRequestID(t *testing.T) {
	m := newManager(t, Options{})
	dir := t.TempDir() + "/later"
	spec := Spec{Command: "true", Dir: dir, RequestID: "r"}
	if _, err := m.Start(t.Context(), Chat("c"), spec); err == nil {
		t.Fatal("started in a directory that does not exist")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if s, err := m.Start(t.Context(), Chat("c"), spec); err != nil || s.Attached {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestRequestIDsAreBoundedByScope(t *testing.T) {
	m := newManager(t, Options{})
	m.mu.Lock()
	m.requests[Chat("c")] = map[string]*request{}
	for i := range MaxRequestIDs {
		m.requests[Chat("c")][fmt.Sprint(i)] = &request{}
	}
	m.mu.Unlock()
	spec := Spec{Command: "true", RequestID: "new"}
	if _, err := m.Start(t.Context(), Chat("c"), spec); !errors.Is(err, ErrTooManyRequests) {
		t.Errorf("got %v", err)
	}
	if _, err := m.Start(t.Context(), Chat("d"), spec); err != nil {
		t.Errorf("another chat: %v", err)
	}
}

// gate holds starts back until it is opened.
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

func TestRacersWithOneRequestIDStartOneProcess(t *testing.T) {
	g := newGate()
	m := newManager(t, Options{testStart: g.start})
	ids := make(chan string, 8)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := m.Start(t.Context(), Chat("c"), Spec{Command: "true", RequestID: "r"})
			if err != nil {
				t.Error(err)
			}
			ids <- s.ID
		})
	}
	<-g.arrived
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Start(ctx, Chat("c"), Spec{Command: "true", RequestID: "r"}); !errors.Is(err, context.Canceled) {
		t.Errorf("an impatient racer: got %v", err)
	}
	close(g.open)
	wg.Wait()
	close(ids)
	first := <-ids
	for id := range ids {
		if id != first {
			t.Errorf("two processes: %s and %s", first, id)
		}
	}
	if len(g.arrived) != 0 {
		t.Error("a second start reached the spawner")
	}
}

func TestCloseEndsEverythingAndRefusesStarts(t *testing.T) {
	m := New(Options{Environ: os.Environ(), Host: host, Grace: 200 * time.Millisecond})
	var all []Process
	for i := range 3 {
		all = append(all,
			start(t, m, Chat(fmt.Sprint("c", i)), Spec{Command: proctest.Child("ignore-term")}),
			start(t, m, NoChat("t"), Spec{Command: proctest.Child("fork", "2")}))
	}
	var pids []int
	for _, p := range all {
		awaitOutput(t, m, p, "ready")
		members, err := m.Survivors(p.Scope, p.ID)
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
	if err := m.Close(t.Context()); err != nil {
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
	if _, err := m.Start(t.Context(), Chat("c"), Spec{Command: "true"}); !errors.Is(err, ErrClosed) {
		t.Errorf("start after Close: %v", err)
	}
	if err := m.Close(t.Context()); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestCloseWaitsForAStartInFlight(t *testing.T) {
	g := newGate()
	m := New(Options{Environ: os.Environ(), Host: host, testStart: g.start})
	var s Started
	var wg sync.WaitGroup
	wg.Go(func() {
		var err error
		if s, err = m.Start(t.Context(), Chat("c"), Spec{Command: "exec sleep 100"}); err != nil {
			t.Error(err)
		}
	})
	<-g.arrived
	wg.Go(func() {
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	proctest.Within(t, "closed", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.closed
	})
	close(g.open)
	wg.Wait()
	if p, _ := wait(t, m, s.Process); p.Exit.Reason != ReasonShutdown {
		t.Errorf("got %+v", p)
	}
}

func TestCloseDoesNotWaitForeverForAStart(t *testing.T) {
	g := newGate()
	m := New(Options{Environ: os.Environ(), Host: host, testStart: g.start})
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := m.Start(t.Context(), Chat("c"), Spec{Command: "true"}); err != nil {
			t.Error(err)
		}
	})
	<-g.arrived
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := m.Close(ctx); err == nil {
		t.Error("closed, though a start has not come back")
	}
	close(g.open)
	wg.Wait()
	m.spawner.Wait()
}

func TestCloseNamesWhatItCannotEnd(t *testing.T) {
	m := New(Options{Environ: os.Environ(), Host: host, Grace: time.Millisecond,
		testSignal: func(*spawn.Process, Signal) error { return nil }})
	p := sh(t, m, "exec sleep 100")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := m.Close(ctx); err == nil || !strings.Contains(err.Error(), p.ID) {
		t.Errorf("got %v", err)
	}
	live, err := m.find(p.Scope, p.ID)
	if err != nil {
		t.Fatal(err)
	}
	live.spawned.Signal(SignalKill)
	wait(t, m, p)
	m.spawner.Wait()
}

// lossy forgets how a command ended.
func lossy(s *spawn.Spawner, cmd spawn.Command, events spawn.Events) (*spawn.Process, error) {
	exited := events.Exited
	events.Exited = func(e spawn.Exit) { exited(spawn.Exit{At: e.At, Code: -1, Lost: true, Empty: e.Empty}) }
	return s.Start(cmd, events)
}

func TestLostExit(t *testing.T) {
	m := newManager(t, Options{testStart: lossy})
	if p, _ := wait(t, m, sh(t, m, "exit 0")); p.State != StateLost || p.Exit.Code != -1 || p.Exit.Reason != ReasonLost {
		t.Errorf("got %+v", p)
	}
}
