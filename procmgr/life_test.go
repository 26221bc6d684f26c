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
	state := StateExited
	state.transition(StateRunning)
}

// forgotten reports whether a process is forgotten.
func forgotten(m *Manager, p Process) bool {
	_, err := m.In(p.Scope).Find(p.ID)
	return errors.Is(err, ErrNotFound)
}

// waitGone waits until the process is gone.
func waitGone(t *testing.T, m *Manager, p Process) Process {
	t.Helper()
	if err := of(t, m, p).WaitGone(t.Context()); err != nil {
		t.Fatalf("wait for the end of %q: %v", p.Command, err)
	}
	p, _ = wait(t, m, p)
	return p
}

func TestForgetting(t *testing.T) {
	clock := quartz.NewMock(t)
	m := newManager(t, Options{Clock: clock})
	advance := func(d time.Duration) { clock.Advance(d).MustWait(t.Context()) }

	reported := waitGone(t, m, sh(t, m, "true"))
	of(t, m, reported).MarkReported()
	unreported := waitGone(t, m, sh(t, m, "true"))
	lateReported := waitGone(t, m, sh(t, m, "true"))
	for _, p := range []Process{reported, unreported, lateReported} {
		proctest.Within(t, "its time is set", func() bool { return scheduled(m, p) })
	}
	running := sh(t, m, "exec sleep 100")
	of(t, m, running).MarkReported()

	advance(5*time.Minute - 1)
	if forgotten(m, reported) {
		t.Error("forgotten before its time")
	}
	advance(1)
	for name, c := range map[string]struct {
		p    Process
		gone bool
	}{"reported": {reported, true}, "unreported": {unreported, false}, "running": {running, false}} {
		if forgotten(m, c.p) != c.gone {
			t.Errorf("after 5 minutes, %s: forgotten is %v", name, !c.gone)
		}
	}
	of(t, m, lateReported).MarkReported()
	advance(4 * time.Minute)
	of(t, m, lateReported).MarkReported() // to report it again does not keep it longer
	if forgotten(m, lateReported) {
		t.Error("reported late and forgotten at once")
	}
	advance(time.Minute)
	if !forgotten(m, lateReported) {
		t.Error("reported late and kept")
	}
	for range 10 {
		advance(5 * time.Minute)
	}
	if !forgotten(m, unreported) || forgotten(m, running) {
		t.Errorf("after an hour: unreported gone %v, running gone %v", forgotten(m, unreported), forgotten(m, running))
	}
}

// A process is not forgotten while descendants live, however long ago its command ended.
func TestForgettingWaitsForDescendants(t *testing.T) {
	clock := quartz.NewMock(t)
	m := newManager(t, Options{Clock: clock})
	p, out := wait(t, m, sh(t, m, proctest.Child("leave")))
	of(t, m, p).MarkReported()
	clock.Advance(2 * MaxKeep).MustWait(t.Context())
	if forgotten(m, p) {
		t.Fatal("forgotten although a descendant lives")
	}
	if list, _ := m.In(p.Scope).List(FilterRunning, 10); len(list) != 1 || list[0].Descendants != 1 || list[0].State != StateExited {
		t.Errorf("what runs: %+v", list)
	}
	descendant, _ := strconv.Atoi(strings.TrimSpace(out))
	if err := syscall.Kill(descendant, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitGone(t, m, p)
	if list, _ := m.In(p.Scope).List(FilterEnded, 10); len(list) != 1 || list[0].Descendants != 0 {
		t.Errorf("what has ended: %+v", list)
	}
	proctest.Within(t, "its time is set", func() bool { return scheduled(m, p) })
	clock.Advance(5*time.Minute - 1).MustWait(t.Context())
	if forgotten(m, p) {
		t.Error("forgotten before its time")
	}
	clock.Advance(1).MustWait(t.Context())
	if !forgotten(m, p) {
		t.Error("kept for longer than five minutes after its last descendant")
	}
}

// scheduled reports whether the time is set at which a process is forgotten.
func scheduled(m *Manager, p Process) bool {
	h, err := m.In(p.Scope).Find(p.ID)
	if err != nil {
		return false
	}
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	return h.p.timers.forget != nil
}

// If another program that is no descendant still holds the output, the process is forgotten
// all the same.
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
	if _, err := of(t, m, p).Signal(SignalKill, NoGrace); err != nil {
		t.Fatal(err)
	}
	if p = waitGone(t, m, p); !p.OutputOpen {
		t.Error("nobody holds its output")
	}
	proctest.Within(t, "its time is set", func() bool { return scheduled(m, p) })
	clock.Advance(MaxKeep).MustWait(t.Context())
	if !forgotten(m, p) {
		t.Error("kept because its output is held")
	}
}

func TestRequestIDs(t *testing.T) {
	clock := quartz.NewMock(t)
	m := newManager(t, Options{Clock: clock})
	spec := Spec{Command: "echo once", Env: map[string]string{"A": "1", "B": "2"}, RequestID: "r"}
	first, err := m.In(Chat("c")).Start(t.Context(), spec)
	if err != nil || first.Attached {
		t.Fatalf("got %+v, %v", first, err)
	}
	again, err := m.In(Chat("c")).Start(t.Context(), spec)
	if err != nil || !again.Attached || again.ID() != first.ID() {
		t.Errorf("again: got %+v, %v", again, err)
	}
	for name, change := range map[string]func(*Spec){
		"command": func(s *Spec) { s.Command = "echo twice" }, "label": func(s *Spec) { s.Label = "x" },
		"env": func(s *Spec) { s.Env = nil }, "dir": func(s *Spec) { s.Dir = "/" }, "stdin": func(s *Spec) { s.Stdin = []byte{} },
		"timeout": func(s *Spec) { s.Timeout = time.Hour }, "background": func(s *Spec) { s.Background = true },
	} {
		other := spec
		change(&other)
		if _, err := m.In(Chat("c")).Start(t.Context(), other); !errors.Is(err, ErrRequestConflict) {
			t.Errorf("other %s: got %v", name, err)
		}
	}
	elsewhere, err := m.In(Chat("d")).Start(t.Context(), spec)
	if err != nil || elsewhere.Attached || elsewhere.ID() == first.ID() {
		t.Errorf("another chat: got %+v, %v", elsewhere, err)
	}

	p := waitGone(t, m, first.Snapshot())
	of(t, m, p).MarkReported()
	proctest.Within(t, "its time is set", func() bool { return scheduled(m, p) })
	clock.Advance(5 * time.Minute).MustWait(t.Context())
	again, err = m.In(Chat("c")).Start(t.Context(), spec)
	if err != nil || !again.Attached {
		t.Fatalf("forgotten: got %+v, %v", again, err)
	}
	if left := again.Snapshot(); !left.Forgotten || !reflect.DeepEqual(left.Exit, p.Exit) || left.Command != spec.Command {
		t.Errorf("left of it: %+v", left)
	}
	if _, err := again.Signal(SignalKill, NoGrace); !errors.Is(err, ErrNotRunning) {
		t.Errorf("signal to a forgotten process: %v", err)
	}
	if w := again.WaitFor(t.Context(), Condition{Port: 1}); w.Result != WaitExited {
		t.Errorf("wait for a forgotten process: %+v", w)
	}
	for range 24 * 12 {
		clock.Advance(5 * time.Minute).MustWait(t.Context())
	}
	if fresh, err := m.In(Chat("c")).Start(t.Context(), spec); err != nil || fresh.Attached {
		t.Errorf("a day later: got %+v, %v", fresh, err)
	}
}

func TestFailedStartFreesItsRequestID(t *testing.T) {
	m := newManager(t, Options{})
	dir := t.TempDir() + "/later"
	spec := Spec{Command: "true", Dir: dir, RequestID: "r"}
	if _, err := m.In(Chat("c")).Start(t.Context(), spec); err == nil {
		t.Fatal("started in a directory that does not exist")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if s, err := m.In(Chat("c")).Start(t.Context(), spec); err != nil || s.Attached {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestRequestIDsAreBoundedByScope(t *testing.T) {
	m := newManager(t, Options{})
	m.mu.Lock()
	for i := range MaxRequestIDs {
		m.scopes.of(Chat("c")).requests[fmt.Sprint(i)] = &request{}
	}
	m.mu.Unlock()
	spec := Spec{Command: "true", RequestID: "new"}
	if _, err := m.In(Chat("c")).Start(t.Context(), spec); !errors.Is(err, ErrTooManyRequests) {
		t.Errorf("got %v", err)
	}
	if _, err := m.In(Chat("d")).Start(t.Context(), spec); err != nil {
		t.Errorf("another chat: %v", err)
	}
}

func TestRacersWithOneRequestIDStartOneProcess(t *testing.T) {
	g := newGate()
	m := newManager(t, Options{test: testHooks{start: g.start}})
	ids := make(chan string, 8)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := m.In(Chat("c")).Start(t.Context(), Spec{Command: "true", RequestID: "r"})
			if err != nil {
				t.Error(err)
			}
			ids <- s.ID()
		})
	}
	<-g.arrived
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.In(Chat("c")).Start(ctx, Spec{Command: "true", RequestID: "r"}); !errors.Is(err, context.Canceled) {
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

// lossy forgets how a command ended.
func lossy(s *spawn.Spawner, cmd spawn.Command, events spawn.Events) (*spawn.Process, error) {
	exited := events.Exited
	events.Exited = func(e spawn.Exit) { exited(spawn.Exit{At: e.At, Code: -1, Lost: true, Gone: e.Gone}) }
	return s.Start(cmd, events)
}

func TestLostExit(t *testing.T) {
	m := newManager(t, Options{test: testHooks{start: lossy}})
	if p, _ := wait(t, m, sh(t, m, "exit 0")); p.State != StateLost || p.Exit.Code != -1 || p.Exit.Reason != ReasonLost {
		t.Errorf("got %+v", p)
	}
}
