//go:build linux

package procmgr

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/quartz"

	"github.com/proctor-mcp/proctor/procmgr/spawn"
	"github.com/proctor-mcp/proctor/procmgr/spawn/early"
	"github.com/proctor-mcp/proctor/proctest"
)

// quickRuns is how many commands TestEveryRunIsWhole runs by default.
const quickRuns = 500

// The tests run in the best kill domain of the machine, or in the one that is
// asked for.
var (
	domainFlag = flag.String("domain", "", "best kill domain to use")
	runsFlag   = flag.Int("runs", quickRuns, "commands that TestEveryRunIsWhole runs")
	host       *spawn.Host
)

func TestMain(m *testing.M) {
	proctest.Main(m, func(tests func() int) int {
		flag.Parse()
		host = spawn.Setup(spawn.SetupOptions{Guard: early.GuardName})
		if *domainFlag != "" {
			if err := host.RestrictKillDomain(spawn.KillDomain(*domainFlag)); err != nil {
				panic(err)
			}
		}
		return host.Run(tests)
	})
}

// newManager returns a manager that is closed at the end of the test.
func newManager(t testing.TB, opts Options) *Manager {
	t.Helper()
	proctest.NeedFor(t, strings.Join(slices.Concat(opts.Shell, opts.Launcher), " "))
	if opts.Env.Inherit == nil {
		opts.Env.Inherit = os.Environ()
	}
	if opts.Grace == 0 {
		opts.Grace = 200 * time.Millisecond
	}
	if opts.Host == nil {
		opts.Host = host
	}
	if opts.Clock == nil {
		opts.Clock = proctest.PatientClock()
	}
	m := New(opts)
	t.Cleanup(func() {
		if _, err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return m
}

func start(t testing.TB, m *Manager, scope Scope, spec Spec) Process {
	t.Helper()
	proctest.NeedFor(t, spec.Command+" "+strings.Join(spec.Argv, " "))
	s, err := m.In(scope).Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return s.Snapshot()
}

// of returns the handle of a process.
func of(t testing.TB, m *Manager, p Process) Handle {
	t.Helper()
	h, err := m.In(p.Scope).Find(p.ID)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func sh(t testing.TB, m *Manager, command string) Process {
	t.Helper()
	return start(t, m, Chat("c"), Spec{Command: command})
}

// pidOf returns the pid of a process that has forked nothing.
func pidOf(t testing.TB, m *Manager, p Process) int {
	t.Helper()
	members, err := of(t, m, p).Survivors()
	if err != nil || len(members) != 1 {
		t.Fatalf("%q is %v, %v", p.Command, members, err)
	}
	return members[0].Pid
}

func wait(t testing.TB, m *Manager, p Process) (Process, string) {
	t.Helper()
	if err := of(t, m, p).Wait(t.Context()); err != nil {
		t.Fatalf("wait for %q: %v", p.Command, err)
	}
	p, view := of(t, m, p).View()
	return p, view.Text
}

// awaitOutput waits until the output has the text.
func awaitOutput(t testing.TB, m *Manager, p Process, text string) string {
	t.Helper()
	var got string
	proctest.Within(t, fmt.Sprintf("output %q", text), func() bool {
		_, view := of(t, m, p).View()
		got = view.Text
		return strings.Contains(got, text)
	})
	return got
}

func TestExit(t *testing.T) {
	m := newManager(t, Options{})
	p, out := wait(t, m, sh(t, m, "echo out; echo err >&2; exit 3"))
	if out != "out\nerr\n" || p.State != StateExited || p.Exit.Code != 3 || p.Exit.Reason != ReasonExited || p.OutputOpen {
		t.Errorf("got %+v with output %q", p, out)
	}
	p, _ = wait(t, m, sh(t, m, "kill -9 $$"))
	if p.Exit.Signal != "SIGKILL" || p.Exit.Code != -1 || p.Exit.Reason != ReasonSignaled {
		t.Errorf("got %+v", p.Exit)
	}
}

func TestArgvWithoutShell(t *testing.T) {
	m := newManager(t, Options{})
	p, out := wait(t, m, start(t, m, Chat("c"), Spec{Argv: []string{"printf", "%s|", "a b", "$HOME"}}))
	if out != "a b|$HOME|" || p.Command != "printf %s| a b $HOME" {
		t.Errorf("got %q from %q", out, p.Command)
	}
}

func TestShellAndWrap(t *testing.T) {
	m := newManager(t, Options{
		Shell: []string{"bash", "-c"},
		Wrap:  func(argv []string) []string { return append([]string{"env", "WRAPPED=yes"}, argv...) },
	})
	if _, out := wait(t, m, sh(t, m, `echo "${BASH_VERSION:+bash} $WRAPPED"`)); out != "bash yes\n" {
		t.Errorf("got %q", out)
	}
}

func TestWaitEndsWithTheContextAndTheProcessGoesOn(t *testing.T) {
	m := newManager(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	s, err := m.In(Chat("c")).Start(ctx, Spec{Command: "echo ready; exec sleep 100"})
	if err != nil {
		t.Fatal(err)
	}
	awaitOutput(t, m, s.Snapshot(), "ready")
	cancel()
	if err := s.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if list, _ := m.In(Chat("c")).List(FilterRunning, 10); len(list) != 1 {
		t.Errorf("the process did not go on: %v", list)
	}
}

func TestManyWaiters(t *testing.T) {
	m := newManager(t, Options{})
	p := sh(t, m, "read x || exec sleep 100")
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if err := of(t, m, p).Wait(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	if _, err := of(t, m, p).Signal(SignalKill, NoGrace); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if p, _ := wait(t, m, p); p.Exit.Reason != ReasonRequested || p.Exit.Signal != "SIGKILL" {
		t.Errorf("got %+v", p.Exit)
	}
}

func TestScopesAreApart(t *testing.T) {
	m := newManager(t, Options{})
	p := sh(t, m, "exec sleep 100")
	for _, other := range []Scope{Chat("d"), NoChat("c"), NoChat(""), {}, Chat("")} {
		_, unknown := m.In(other).Find("no-such-id")
		_, err := m.In(other).Find(p.ID)
		if !errors.Is(err, ErrNotFound) || err.Error() != unknown.Error() {
			t.Errorf("%v finds it: got %v, want %v", other, err, unknown)
		}
		if list, omitted := m.In(other).List(FilterAll, 10); len(list) != 0 || omitted != 0 {
			t.Errorf("list of %v: %v", other, list)
		}
	}
	for _, none := range []Scope{{}, Chat(""), Chat("a b"), Chat(strings.Repeat("x", 129))} {
		if _, err := m.In(none).Start(t.Context(), Spec{Command: "true"}); !errors.Is(err, ErrScope) {
			t.Errorf("start in %v: %v", none, err)
		}
	}
}

func TestTwentyChatsAtOnce(t *testing.T) {
	m := newManager(t, Options{})
	var wg sync.WaitGroup
	for i := range 20 {
		scope := Chat(fmt.Sprintf("chat-%d", i))
		wg.Go(func() {
			mine := map[string]bool{}
			for range 5 {
				s, err := m.In(scope).Start(t.Context(), Spec{Command: "echo $CODER_CHAT_ID; exec sleep 100"})
				if err != nil {
					t.Error(err)
					return
				}
				mine[s.ID()] = true
				if out := awaitOutput(t, m, s.Snapshot(), "\n"); out != scope.ChatID()+"\n" {
					t.Errorf("%v read %q", scope, out)
				}
			}
			list, _ := m.In(scope).List(FilterAll, 1000)
			if len(list) != len(mine) {
				t.Errorf("%v lists %d processes, want %d", scope, len(list), len(mine))
			}
			for _, p := range list {
				if !mine[p.ID] {
					t.Errorf("%v sees %s", scope, p.ID)
				}
				if _, err := of(t, m, p).Signal(SignalKill, NoGrace); err != nil {
					t.Error(err)
				}
				wait(t, m, p)
			}
		})
	}
	wg.Wait()
}

func TestListOrderAndLimit(t *testing.T) {
	m := newManager(t, Options{})
	oldRun := sh(t, m, "exec sleep 100")
	oldEnd, _ := wait(t, m, sh(t, m, "true"))
	newEnd, _ := wait(t, m, sh(t, m, "true"))
	newRun := sh(t, m, "exec sleep 100")
	for _, c := range []struct {
		filter  Filter
		limit   int
		want    []string
		omitted int
	}{
		{FilterAll, 10, []string{newRun.ID, oldRun.ID, newEnd.ID, oldEnd.ID}, 0},
		{FilterAll, 3, []string{newRun.ID, oldRun.ID, newEnd.ID}, 1},
		{FilterRunning, 10, []string{newRun.ID, oldRun.ID}, 0},
		{FilterEnded, 1, []string{newEnd.ID}, 1},
	} {
		list, omitted := m.In(Chat("c")).List(c.filter, c.limit)
		var got []string
		for _, p := range list {
			got = append(got, p.ID)
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) || omitted != c.omitted {
			t.Errorf("%s, limit %d: got %v and %d omitted", c.filter, c.limit, got, omitted)
		}
	}
}

func TestTerminateIsObeyedOrNot(t *testing.T) {
	m := newManager(t, Options{})
	p := sh(t, m, proctest.Child("ignore-term"))
	awaitOutput(t, m, p, "ready")
	if _, err := of(t, m, p).Signal(SignalTerminate, NoGrace); err != nil {
		t.Fatal(err)
	}
	p = of(t, m, p).Snapshot()
	if p.State != StateStopping || !p.State.Running() {
		t.Errorf("got state %s, want stopping", p.State)
	}
	if _, err := of(t, m, p).Signal(SignalTerminate, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if p, _ := wait(t, m, p); p.Exit.Signal != "SIGKILL" || p.Exit.Reason != ReasonRequested {
		t.Errorf("after the grace: got %+v", p.Exit)
	}
	if _, err := of(t, m, p).Signal(SignalKill, NoGrace); !errors.Is(err, ErrNotRunning) {
		t.Errorf("signal to an ended process: %v", err)
	}
	if _, err := of(t, m, p).Signal("SIGHUP", NoGrace); !errors.Is(err, ErrUnsupportedSignal) {
		t.Errorf("unsupported signal: %v", err)
	}
}

func TestGraceReachesWhatTheLeaderLeaves(t *testing.T) {
	clock := quartz.NewMock(t)
	m := newManager(t, Options{Clock: clock})
	p := sh(t, m, `trap 'exit 0' TERM; `+proctest.Child("ignore-term")[len("exec "):]+` & echo; wait`)
	awaitOutput(t, m, p, "ready")
	if _, err := of(t, m, p).Signal(SignalTerminate, time.Second); err != nil {
		t.Fatal(err)
	}
	p, _ = wait(t, m, p)
	if p.Exit.Code != 0 || p.Descendants != 1 || !p.OutputOpen {
		t.Errorf("the leader obeys, its child does not: got %+v", p)
	}
	clock.Advance(time.Second).MustWait(t.Context())
	waitGone(t, m, p)
}

func TestDescendantsAreCountedAndSignalled(t *testing.T) {
	m := newManager(t, Options{})
	p, out := wait(t, m, sh(t, m, proctest.Child("leave")))
	left, _ := strconv.Atoi(strings.TrimSpace(out))
	if p.State != StateExited || p.Descendants != 1 {
		t.Fatalf("got %+v", p)
	}
	if _, err := of(t, m, p).Signal(SignalKill, NoGrace); err != nil {
		t.Fatal(err)
	}
	p = waitGone(t, m, p)
	if proctest.Alive(left) {
		t.Error("the descendant lives")
	}
	if p.Descendants != 0 || p.Exit.Reason != ReasonExited {
		t.Errorf("got %+v", p)
	}
}

func TestLateOutputIsKept(t *testing.T) {
	m := newManager(t, Options{})
	cue, give := proctest.Cue(t)
	p, _ := wait(t, m, sh(t, m, proctest.Child("hold-say", cue)))
	if p.Exit.Code != 3 || !p.OutputOpen {
		t.Errorf("got %+v", p)
	}
	give()
	awaitOutput(t, m, p, "late\n")
	proctest.Within(t, "output closed", func() bool {
		p := of(t, m, p).Snapshot()
		return !p.OutputOpen
	})
}

func TestHalfRune(t *testing.T) {
	m := newManager(t, Options{})
	p := start(t, m, Chat("c"), Spec{Command: proctest.Child("half-rune"), Stdin: []byte("go\n")})
	if _, out := wait(t, m, p); out != "€" {
		t.Errorf("got %q", out)
	}
}

func TestHalfRuneOfAnEndedProcessIsShown(t *testing.T) {
	m := newManager(t, Options{})
	p, out := wait(t, m, sh(t, m, `sleep 100 & printf '\342\202'`))
	if out != "\uFFFD" || !p.OutputOpen {
		t.Errorf("got %q, %+v", out, p)
	}
}

func TestSuspended(t *testing.T) {
	m := newManager(t, Options{})
	p := sh(t, m, "kill -STOP $$")
	proctest.Within(t, "suspended", func() bool {
		list, _ := m.In(p.Scope).List(FilterRunning, 1)
		return len(list) == 1 && list[0].Suspended
	})
}

func TestTimeLimit(t *testing.T) {
	m := newManager(t, Options{Grace: time.Millisecond})
	p := start(t, m, Chat("c"), Spec{Command: proctest.Child("ignore-term"), Timeout: time.Millisecond})
	if p, _ := wait(t, m, p); p.Exit.Reason != ReasonTimeout {
		t.Errorf("got %+v", p.Exit)
	}
}

// A signal to the descendants of an ended command is not the reason of its exit.
func TestRequestsAfterTheExitAreNotItsReason(t *testing.T) {
	clock := quartz.NewMock(t)
	m := newManager(t, Options{Clock: clock})
	limited := start(t, m, Chat("c"), Spec{Command: proctest.Child("hold"), Timeout: time.Second})
	asked := sh(t, m, proctest.Child("hold"))
	for _, p := range []Process{limited, asked} {
		proctest.Within(t, "exit seen", of(t, m, p).p.spawned.Ended)
	}
	clock.Advance(time.Second).MustWait(t.Context())
	if _, err := of(t, m, asked).Signal(SignalTerminate, NoGrace); err != nil {
		t.Fatal(err)
	}
	if p, _ := wait(t, m, asked); p.Exit.Reason != ReasonExited || p.Exit.Code != 3 {
		t.Errorf("asked: got %+v", p.Exit)
	}
	if p, _ := wait(t, m, limited); p.Exit.Reason != ReasonExited || p.Exit.Code != 3 || p.Descendants != 1 {
		t.Errorf("limited: got %+v, %d descendants", p.Exit, p.Descendants)
	}
}

func TestRefusedSignalChangesNothing(t *testing.T) {
	m := newManager(t, Options{test: testHooks{signal: func(*spawn.Process, Signal) error { return ErrNotPermitted }}})
	p := start(t, m, Chat("c"), Spec{Command: "read x; exit 5", KeepStdin: true})
	if _, err := of(t, m, p).Signal(SignalTerminate, 0); !errors.Is(err, ErrNotPermitted) {
		t.Errorf("got %v", err)
	}
	give(t, m, p, Input{Text: []byte("x\n")})
	if p, _ := wait(t, m, p); p.Exit.Reason != ReasonExited || p.Exit.Code != 5 {
		t.Errorf("got %+v", p.Exit)
	}
}

func TestInvalidSpecs(t *testing.T) {
	m := newManager(t, Options{})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for field, specs := range map[string][]Spec{
		"command": {{}, {Command: "a\x00b"}, {Command: strings.Repeat("x", 200<<10)},
			{Command: "true", Argv: []string{"true"}}, {Argv: []string{""}}, {Argv: []string{"a\x00"}}},
		"env": {{Env: map[string]string{"": "x"}}, {Env: map[string]string{"A=B": "x"}},
			{Env: map[string]string{"A\x00": "x"}}, {Env: map[string]string{"A": "\x00"}}, {Env: map[string]string{"A": strings.Repeat("x", MaxEnvBytes-1)}}},
		"workdir":    {{Dir: "/no/such/directory"}, {Dir: file}, {Dir: "a\x00b"}, {Dir: file + "/below"}},
		"stdin":      {{Stdin: make([]byte, MaxStdinBytes+1)}},
		"timeout":    {{Timeout: -1}},
		"request_id": {{RequestID: strings.Repeat("x", MaxRequestIDBytes+1)}},
	} {
		for i, spec := range specs {
			if field != "command" {
				spec.Command = "true"
			}
			_, err := m.In(Chat("c")).Start(t.Context(), spec)
			var input *InputError
			if !errors.As(err, &input) || input.Field != field {
				t.Errorf("%s %d: got %v", field, i, err)
			}
		}
	}
	if list, _ := m.In(Chat("c")).List(FilterAll, 100); len(list) != 0 {
		t.Errorf("something was started: %v", list)
	}
}

func TestSystemRefusesTheStart(t *testing.T) {
	m := newManager(t, Options{})
	_, err := m.In(Chat("c")).Start(t.Context(), Spec{Argv: []string{"/no/such/program"}})
	var start *StartError
	if !errors.As(err, &start) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestShortagesAreNamed(t *testing.T) {
	m := newManager(t, Options{})
	check := func(err error, errno syscall.Errno, shortage Shortage) {
		t.Helper()
		var start *StartError
		if !errors.As(err, &start) || !errors.Is(err, errno) || start.Shortage() != shortage {
			t.Errorf("got %v, want %s", err, shortage)
		}
	}
	env := map[string]string{}
	for i := range 60 { // the kernel never takes more than 6 MiB
		env[fmt.Sprint("V", i)] = strings.Repeat("x", MaxEnvBytes-len("V00="))
	}
	_, err := m.In(Chat("c")).Start(t.Context(), Spec{Command: "true", Env: env})
	check(err, syscall.E2BIG, ShortageArguments)

	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 128, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	for err = nil; err == nil; {
		_, err = m.In(Chat("c")).Start(t.Context(), Spec{Command: "exec sleep 100"})
	}
	check(err, syscall.EMFILE, ShortageDescriptors)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	wait(t, m, start(t, m, Chat("c"), Spec{Command: "true"}))
}

func TestEveryRecordNamesTheProcess(t *testing.T) {
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelInfo}))
	m := New(Options{Env: EnvOptions{Inherit: os.Environ()}, Host: host})
	p := start(t, m, Chat("c"), Spec{Command: "echo secret", Log: log})
	wait(t, m, p)
	if _, err := m.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text.String()) {
		if strings.Count(line, "chat_id=c ") != 1 || !strings.Contains(line, "process_id="+p.ID) {
			t.Errorf("record without its process: %s", line)
		}
		if strings.Contains(line, "secret") {
			t.Errorf("the command is logged above debug level: %s", line)
		}
	}
	if n := strings.Count(text.String(), "\n"); n != 2 {
		t.Errorf("%d records, want start and end:\n%s", n, &text)
	}
}
