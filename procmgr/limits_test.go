//go:build linux

package procmgr

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/proctor-mcp/proctor/procmgr/output"
	"github.com/proctor-mcp/proctor/procmgr/spawn"
	"github.com/proctor-mcp/proctor/proctest"
)

// refused returns why a start is refused, which it must be.
func refused(t *testing.T, m *Manager, scope Scope, spec Spec) *LimitError {
	t.Helper()
	s, err := m.In(scope).Start(t.Context(), spec)
	var limit *LimitError
	if !errors.As(err, &limit) {
		t.Fatalf("got %+v, %v; want a limit", s, err)
	}
	return limit
}

func kill(t *testing.T, m *Manager, p Process) {
	t.Helper()
	if _, err := of(t, m, p).Signal(SignalKill, NoGrace); err != nil {
		t.Fatal(err)
	}
	waitGone(t, m, p)
}

func TestRunningProcessesOfAScopeAreBounded(t *testing.T) {
	m := newManager(t, Options{MaxRunningPerScope: 2, MaxRunning: 3})
	spec := Spec{Command: "exec sleep 100"}
	once := Spec{Command: "exec sleep 101", RequestID: "r"}
	first := start(t, m, Chat("a"), spec)
	second := start(t, m, Chat("a"), once)

	want := LimitError{spawn.LimitError{Limit: LimitRunningPerScope, Used: 2, Max: 2}, first.ID, first.Command}
	if got := refused(t, m, Chat("a"), spec); *got != want {
		t.Errorf("got %+v, want %+v", *got, want)
	}
	if s, err := m.In(Chat("a")).Start(t.Context(), once); err != nil || !s.Attached || s.ID() != second.ID {
		t.Errorf("a start that was made before: got %+v, %v", s, err)
	}

	start(t, m, Chat("b"), spec) // another scope is not affected
	want = LimitError{spawn.LimitError{Limit: LimitRunning, Used: 3, Max: 3}, "", ""}
	if got := refused(t, m, Chat("c"), spec); *got != want {
		t.Errorf("in all: got %+v, want %+v", *got, want)
	}
	again := Spec{Command: "true", RequestID: "refused"}
	refused(t, m, Chat("c"), again)

	kill(t, m, first)
	if s, err := m.In(Chat("c")).Start(t.Context(), again); err != nil || s.Attached {
		t.Errorf("after an end: got %+v, %v", s, err)
	}
}

// A process counts until all that it forked has ended. A start that fails does not count.
func TestWhatCountsAsRunning(t *testing.T) {
	m := newManager(t, Options{MaxRunningPerScope: 1})
	for range 3 {
		var system *StartError
		if _, err := m.In(Chat("c")).Start(t.Context(), Spec{Argv: []string{"/no/such/program"}}); !errors.As(err, &system) {
			t.Fatalf("got %v", err)
		}
		var input *InputError
		if _, err := m.In(Chat("c")).Start(t.Context(), Spec{Command: "true", Dir: "/no/such"}); !errors.As(err, &input) {
			t.Fatalf("got %v", err)
		}
	}
	p, out := wait(t, m, sh(t, m, proctest.Child("leave")))
	if got := refused(t, m, Chat("c"), Spec{Command: "true"}); got.ID != p.ID {
		t.Errorf("got %+v", got)
	}
	descendant, _ := strconv.Atoi(strings.TrimSpace(out))
	if err := syscall.Kill(descendant, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitGone(t, m, p)
	waitGone(t, m, sh(t, m, "true"))
	m.mu.Lock()
	defer m.mu.Unlock()
	if got := m.scopes[Chat("c")]; got.running != 0 || got.finished != 2 || m.running != 0 {
		t.Errorf("counted %d running, %d finished, and %d running in all", got.running, got.finished, m.running)
	}
}

// Of a thousand starts at once, each is either made or refused, and never do more processes
// live than the limits allow.
func TestLimitsHoldUnderAThousandStarts(t *testing.T) {
	const perScope, all, scopes, starts = 5, 12, 4, 1000
	m := newManager(t, Options{MaxRunningPerScope: perScope, MaxRunning: all})
	command, token := proctest.Sleeper()
	var wg sync.WaitGroup
	var started, over atomic.Int64
	done := make(chan struct{})
	for i := range starts {
		wg.Go(func() {
			_, err := m.In(Chat(fmt.Sprint(i%scopes))).Start(t.Context(), Spec{Command: "exec " + command})
			var limit *LimitError
			switch {
			case err == nil:
				started.Add(1)
			case errors.As(err, &limit):
				over.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	go func() {
		wg.Wait()
		close(done)
	}()
	for waiting := true; waiting; {
		select {
		case <-done:
			waiting = false
		default:
		}
		if n := len(proctest.Sleepers(token)); n > all {
			t.Fatalf("%d processes live, more than %d", n, all)
		}
	}
	if started.Load() != all || over.Load() != starts-all {
		t.Errorf("%d started and %d refused", started.Load(), over.Load())
	}
	proctest.Within(t, "the sleepers to sleep", func() bool { return len(proctest.Sleepers(token)) == all })
	for i := range scopes {
		if list, _ := m.In(Chat(fmt.Sprint(i))).List(FilterRunning, 100); len(list) > perScope {
			t.Errorf("chat %d runs %d", i, len(list))
		}
	}
}

func TestFinishedProcessesGiveWay(t *testing.T) {
	m := newManager(t, Options{KeepFinished: 3})
	end := func() Process { return waitGone(t, m, sh(t, m, "true")) }
	other := waitGone(t, m, start(t, m, Chat("d"), Spec{Command: "true"}))
	running := sh(t, m, "exec sleep 100")
	once := start(t, m, Chat("c"), Spec{Command: "true", RequestID: "r"})
	waitGone(t, m, once)
	second, third := end(), end()
	of(t, m, third).MarkReported()
	for _, step := range []struct {
		what string
		p    Process
	}{{"the reported one", third}, {"the oldest", once}, {"the next oldest", second}} {
		if forgotten(m, step.p) {
			t.Fatalf("%s went too early", step.what)
		}
		end()
		if !forgotten(m, step.p) {
			t.Errorf("%s is kept", step.what)
		}
	}
	if forgotten(m, running) || forgotten(m, other) {
		t.Error("what runs, or another chat's, gave way")
	}
	if list, _ := m.In(Chat("c")).List(FilterEnded, 100); len(list) != 3 {
		t.Errorf("%d are kept", len(list))
	}
	if s, err := m.In(Chat("c")).Start(t.Context(), Spec{Command: "true", RequestID: "r"}); err != nil || !s.Snapshot().Forgotten || s.ID() != once.ID {
		t.Errorf("its request id: got %+v, %v", s, err)
	}
}

// Nothing is left of a start whose context ends before its turn. Another call that waits
// for the same request id then starts the process.
func TestStartThatGivesUpItsTurn(t *testing.T) {
	m := newManager(t, Options{})
	places := max(2, runtime.GOMAXPROCS(0))
	for range places {
		if err := m.starts.Enter(t.Context(), Chat("busy")); err != nil {
			t.Fatal(err)
		}
	}
	counted := func() int {
		m.mu.Lock()
		defer m.mu.Unlock()
		if b := m.scopes[Chat("c")]; b != nil {
			return b.running
		}
		return 0
	}
	ctx, cancel := context.WithCancel(t.Context())
	spec := Spec{Command: "true", RequestID: "r"}
	type answer struct {
		Started
		err error
	}
	first, second := make(chan answer, 1), make(chan answer, 1)
	ask := func(ctx context.Context, answers chan answer) {
		s, err := m.In(Chat("c")).Start(ctx, spec)
		answers <- answer{s, err}
	}
	go ask(ctx, first)
	proctest.Within(t, "the first to count", func() bool { return counted() == 1 })
	cancel()
	if got := <-first; !errors.Is(got.err, context.Canceled) || counted() != 0 {
		t.Errorf("got %+v, and still counted %d", got, counted())
	}

	ctx, cancel = context.WithCancel(t.Context())
	go ask(ctx, first)
	proctest.Within(t, "the first to count", func() bool { return counted() == 1 })
	go ask(t.Context(), second)
	cancel()
	if got := <-first; !errors.Is(got.err, context.Canceled) {
		t.Errorf("got %+v", got)
	}
	for range places {
		m.starts.Leave()
	}
	if got := <-second; got.err != nil || got.Attached {
		t.Errorf("the second: got %+v", got)
	}
}

func TestOutputGivesWay(t *testing.T) {
	// Two full outputs fit, each of 32 to 40 KiB, and three do not.
	const full, most = output.ViewHead + output.ViewTail, 90 << 10
	m := newManager(t, Options{Output: OutputOptions{Memory: most}})
	flood := strings.TrimPrefix(proctest.Child("flood", strconv.Itoa(full)), "exec ")
	view := func(p Process) output.View {
		_, v := of(t, m, p).View()
		return v
	}
	running := func(chat, then string) Process {
		p := start(t, m, Chat(chat), Spec{Command: flood + "; " + then})
		proctest.Within(t, "its output", func() bool { return view(p).Next == full })
		return p
	}
	mark := func(n int) string {
		return fmt.Sprintf("[… %d bytes no longer kept: all output together reached a limit of the server …]\n", n)
	}
	// What was written is counted before room is made for it.
	givesWay := func(p Process) {
		t.Helper()
		dropped := output.View{Text: mark(full), Next: full, Omitted: full, Dropped: full}
		proctest.Within(t, "its output gives way", func() bool { return view(p) == dropped })
	}
	fifo := t.TempDir() + "/fifo"
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}

	unreported := waitGone(t, m, start(t, m, Chat("a"), Spec{Command: flood}))
	reported := waitGone(t, m, start(t, m, Chat("b"), Spec{Command: flood}))
	of(t, m, reported).MarkReported()
	longest := running("c", "read x < "+fifo+"; echo anew; exec sleep 100")
	givesWay(reported)
	if view(unreported).Dropped != 0 {
		t.Error("the unreported one gave way before the reported one")
	}
	next := running("d", "exec sleep 100")
	givesWay(unreported)
	last := running("d", "exec sleep 100")
	givesWay(longest)
	if view(next).Dropped+view(last).Dropped != 0 || m.space.Memory.Used() > most {
		t.Errorf("more gave way than had to, or %d bytes are held", m.space.Memory.Used())
	}
	if err := os.WriteFile(fifo, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	awaitOutput(t, m, longest, "anew\n")
	if got, want := view(longest), (output.View{Text: mark(full) + "anew\n", Next: full + 5, Omitted: full, Dropped: full}); got != want {
		t.Errorf("anew: got %+v", got)
	}

	for _, p := range []Process{longest, next, last} {
		kill(t, m, p)
	}
	for _, p := range []Process{unreported, reported, longest, next, last} {
		m.forgetElapsed(of(t, m, p).p)
	}
	if n := m.space.Memory.Used(); n != 0 {
		t.Errorf("all are forgotten, and %d bytes are counted", n)
	}
}

// A notice is left to the call that waits for the process. If that does not report the
// exit, the next call gets the notice.
func TestNoticesLeaveAwaitedProcesses(t *testing.T) {
	m := newManager(t, Options{})
	p := sh(t, m, "exit 3")
	wait(t, m, p)
	over := of(t, m, p).p.await()
	if list, more := m.In(p.Scope).TakeNotices(5); len(list) != 0 || more != 0 {
		t.Errorf("got %v and %d more", list, more)
	}
	over()
	if list, _ := m.In(p.Scope).TakeNotices(5); len(list) != 1 || list[0].ID != p.ID {
		t.Errorf("got %v", list)
	}
	if list, _ := m.In(p.Scope).TakeNotices(5); len(list) != 0 {
		t.Errorf("reported twice: %v", list)
	}
}
