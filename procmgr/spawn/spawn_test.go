//go:build linux

package spawn

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/spawn/cgroup"
	"github.com/proctor-mcp/proctor/procmgr/spawn/early"
	"github.com/proctor-mcp/proctor/proctest"
)

// The tests run in the best kill domain, or in the one that is asked for. What a
// machine may lack can be taken away.
var (
	domainFlag  = flag.String("domain", "", "best kill domain to use")
	withoutFlag = flag.String("without", "", "comma-separated: children, pidfd, tags")
	trialsFlag  = flag.Int("trials", 1, "trials of each shape")
	killsFlag   = flag.Int("kills", 2000, "signals that TestReusedPids sends")
	launchFlag  = flag.String("launcher", "", "program, with arguments, that runs the commands of the tests, divided by blanks")
	insideFlag  = flag.Bool("inside", false, "run in the namespace of TestReusedPids")
	host        *Host
)

func TestMain(m *testing.M) {
	proctest.Main(m, func(tests func() int) int {
		flag.Parse()
		without := map[string]bool{}
		for _, what := range strings.Split(*withoutFlag, ",") {
			without[what] = true
		}
		host = Setup(SetupOptions{Guard: early.GuardName, without: without})
		host.LogTo(slog.New(slog.NewTextHandler(os.Stderr, nil)))
		if *domainFlag != "" {
			if err := host.RestrictKillDomain(KillDomain(*domainFlag)); err != nil {
				panic(err)
			}
		}
		return host.Run(tests)
	})
}

// run is a started command and what its events reported.
type run struct {
	*Process
	t       *testing.T
	exit    chan Exit
	nothing chan struct{}
	closed  chan struct{}
	changed chan struct{} // holds a token when there is new output

	mu       sync.Mutex // guards the fields below
	out, err bytes.Buffer
}

func start(t *testing.T, cmd Command) *run {
	t.Helper()
	return startWith(t, New(Options{Host: host}), cmd)
}

func startWith(t *testing.T, s *Spawner, cmd Command) *run {
	t.Helper()
	if cmd.Dir == "" {
		cmd.Dir = t.TempDir()
	}
	r, err := begin(t, s, cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Signal(SignalKill)
		r.gone()
		r.Release()
		s.Wait()
	})
	return r
}

// begin starts a command that the test ends itself.
func begin(t *testing.T, s *Spawner, cmd Command) (*run, error) {
	proctest.NeedFor(t, strings.Join(cmd.Argv, " "))
	cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH"))
	r := &run{t: t, exit: make(chan Exit, 1), nothing: make(chan struct{}), closed: make(chan struct{}), changed: make(chan struct{}, 1)}
	p, err := s.Start(cmd, Events{
		Stdout:       func(p []byte) { r.take(&r.out, p) },
		Stderr:       func(p []byte) { r.take(&r.err, p) },
		OutputClosed: func() { close(r.closed) },
		Exited: func(e Exit) {
			if e.Gone {
				close(r.nothing)
			}
			e.Gone = false
			r.exit <- e
		},
		Gone: func(Usage) { close(r.nothing) },
	})
	if err == nil {
		p.Follow()
	}
	r.Process = p
	return r, err
}

// take keeps some of what was written: to keep a flood would make the test slow, not
// the spawner.
func (r *run) take(to *bytes.Buffer, p []byte) {
	r.mu.Lock()
	if to.Len() < 1<<20 {
		to.Write(p)
	}
	r.mu.Unlock()
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// cgroupOf returns the cgroup of a command, nil if it has none.
func cgroupOf(r *run) *cgroup.Cgroup {
	if d, ok := r.domain.(*descendants); ok {
		return d.cgroup
	}
	return nil
}

// members counts the living members of the group.
func members(p *Process) int {
	list, err := p.Members()
	if err != nil {
		return -1
	}
	return len(list)
}

func shell(t *testing.T, command string) *run {
	t.Helper()
	return start(t, Command{Launcher: strings.Fields(*launchFlag), Argv: []string{"sh", "-c", command}})
}

func (r *run) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.String()
}

func (r *run) await(text string) {
	r.t.Helper()
	for !strings.Contains(r.text(), text) {
		select {
		case <-r.changed:
		case <-r.closed:
			if !strings.Contains(r.text(), text) {
				r.t.Fatalf("the output ended without %q: %q", text, r.text())
			}
		}
	}
}

func (r *run) ended() Exit { return <-r.exit }

// gone waits until nothing of it is alive.
func (r *run) gone() { <-r.nothing }

func TestExitCodeSignalAndUsage(t *testing.T) {
	if e := shell(t, "exit 7").ended(); e.Code != 7 || e.Signal != "" || e.Lost {
		t.Errorf("exit 7: got %+v", e)
	}
	if e := shell(t, "kill -SEGV $$").ended(); e.Code != -1 || e.Signal != "SIGSEGV" {
		t.Errorf("SEGV: got %+v", e)
	}
	e := shell(t, "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done").ended()
	if e.Usage.User <= 0 || e.Usage.MaxRSS < 100<<10 || e.Usage.MaxRSS > 1<<30 {
		t.Errorf("usage: got %+v", e)
	}
}

func TestOwnSessionAndGroup(t *testing.T) {
	r := shell(t, "set -- $(cat /proc/$$/stat); echo $5 $6; cat < /dev/stdin") // pgrp, session: proc_pid_stat(5)
	r.ended()
	for _, field := range strings.Fields(r.text()) {
		if field != strconv.Itoa(r.Pid()) {
			t.Errorf("session and group are %q, want %d", r.text(), r.Pid())
		}
	}
}

func TestInputThenEndOfFile(t *testing.T) {
	text := strings.Repeat("line\n", 40_000) // more than a pipe holds
	r := start(t, Command{Argv: []string{"cat"}, Stdin: []byte(text)})
	r.ended()
	if r.text() != text {
		t.Errorf("got %d bytes back, want %d", len(r.text()), len(text))
	}
}

func TestInputThatNobodyReads(t *testing.T) {
	r := start(t, Command{Argv: []string{"true"}, Stdin: make([]byte, 1<<20)})
	if e := r.ended(); e.Code != 0 {
		t.Errorf("got %+v", e)
	}
}

func TestEverythingIsDeliveredBeforeTheExit(t *testing.T) {
	for range 100 {
		r := shell(t, "printf done; printf err >&2")
		if r.ended(); r.text() != "doneerr" {
			t.Fatalf("at the exit there was %q", r.text())
		}
	}
}

func TestHeldPipeDelaysTheExitByAtMostASecond(t *testing.T) {
	begin := time.Now()
	r := shell(t, proctest.Child("hold"))
	e := r.ended()
	late := time.Since(e.At) // clock: told, and demanded with -bounds
	if t.Logf("announced %v after the exit", late); proctest.Bounds() && late > time.Second {
		t.Error("that is too late")
	}
	if took := time.Since(begin); e.Code != 3 || took < DrainTime { // clock: it may take longer
		t.Errorf("got %+v after %v", e, took)
	}
	select {
	case <-r.closed:
		t.Error("the output is said to be closed while it is held")
	default:
	}
	if members(r.Process) != 1 {
		t.Error("the descendant is not a member")
	}
}

func TestFloodingDescendantDoesNotDelayTheExit(t *testing.T) {
	r := shell(t, "echo first; yes & exit 4")
	e := r.ended()
	late := time.Since(e.At) // clock: told, and demanded with -bounds
	if t.Logf("announced %v after the exit", late); e.Code != 4 || proctest.Bounds() && late > time.Second {
		t.Errorf("got %+v, announced after %v", e, late)
	}
	if !strings.HasPrefix(r.text(), "first\n") {
		t.Error("what the command wrote is missing")
	}
}

func TestOutputAfterTheExitIsDelivered(t *testing.T) {
	cue, give := proctest.Cue(t)
	r := shell(t, proctest.Child("hold-say", cue))
	r.ended()
	if strings.Contains(r.text(), "late") {
		t.Fatal("late already")
	}
	give()
	<-r.closed
	if !strings.Contains(r.text(), "late") {
		t.Errorf("got %q", r.text())
	}
	r.gone()
	if err := r.Signal(SignalKill); !errors.Is(err, ErrNotRunning) {
		t.Errorf("signal to an empty group: %v", err)
	}
}

func TestKillReachesDescendants(t *testing.T) {
	r := shell(t, proctest.Child("fork", "5"))
	r.await("ready")
	if n := members(r.Process); n != 6 {
		t.Errorf("%d members, want 6", n)
	}
	if err := r.Signal(SignalKill); err != nil {
		t.Fatal(err)
	}
	if e := r.ended(); e.Signal != "SIGKILL" {
		t.Errorf("got %+v", e)
	}
	proctest.Within(t, "members gone", func() bool { return members(r.Process) == 0 })
}

func TestKillReachesDescendantsAfterTheLeader(t *testing.T) {
	r := shell(t, proctest.Child("leave"))
	if e := r.ended(); e.Code != 0 {
		t.Fatalf("got %+v", e)
	}
	left, _ := strconv.Atoi(strings.TrimSpace(r.text()))
	if !proctest.Alive(left) {
		t.Fatal("the descendant is not alive")
	}
	if err := r.Signal(SignalKill); err != nil {
		t.Fatal(err)
	}
	proctest.AwaitEnd(t, left)
}

// The way for kernels that refuse a pidfd, or whose pidfds do not reach a group.
func TestWithoutHandle(t *testing.T) {
	s := New(Options{})
	s.system.noPidfd.Store(true)
	r := startWith(t, s, Command{Argv: []string{"sh", "-c", proctest.Child("leave")}})
	if e := r.ended(); e.Code != 0 || e.Lost {
		t.Errorf("got %+v", e)
	}
	left, _ := strconv.Atoi(strings.TrimSpace(r.text()))
	if err := r.Signal(SignalKill); err != nil {
		t.Fatal(err)
	}
	proctest.AwaitEnd(t, left)
	proctest.Within(t, "members gone", func() bool { return members(r.Process) == 0 })
	if err := r.Signal(SignalKill); !errors.Is(err, ErrNotRunning) {
		t.Errorf("signal to an empty group: %v", err)
	}
	r = startWith(t, s, Command{Argv: []string{"sh", "-c", "sleep 100 & echo ready; wait"}})
	r.await("ready")
	if err := r.Signal(SignalKill); err != nil {
		t.Fatal(err)
	}
	if e := r.ended(); e.Signal != "SIGKILL" {
		t.Errorf("got %+v", e)
	}
}

func TestNotSeeingIsNotGone(t *testing.T) {
	r := shell(t, proctest.Child("leave"))
	r.ended()
	var limit, none unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none.Max = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	_, err := r.Members()
	populated := cgroupOf(r).Populated()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if err == nil {
		t.Error("without a descriptor it claims to see")
	}
	if cgroupOf(r) != nil && !populated {
		t.Error("a cgroup that cannot be read counts as empty")
	}
	if members(r.Process) != 1 {
		t.Error("the descendant is lost")
	}
}

func TestTerminateWakesAStoppedGroup(t *testing.T) {
	r := shell(t, "echo $$; kill -STOP $$; sleep 100")
	proctest.Within(t, "suspended", r.Suspended)
	if err := r.Signal(SignalTerminate); err != nil {
		t.Fatal(err)
	}
	if e := r.ended(); e.Signal != "SIGTERM" {
		t.Errorf("got %+v", e)
	}
	if r.Suspended() {
		t.Error("an ended process is suspended")
	}
}

func TestStartErrors(t *testing.T) {
	s := New(Options{Host: host})
	events := Events{Stdout: func([]byte) {}, OutputClosed: func() { t.Error("event") }, Exited: func(Exit) { t.Error("event") }}
	for name, cmd := range map[string]Command{
		"no program":   {Argv: []string{"no-such-program"}, Dir: "/"},
		"no file":      {Argv: []string{"/no/such/file"}, Dir: "/", Stdin: []byte("x")},
		"no directory": {Argv: []string{"/bin/true"}, Dir: "/no/such/directory"},
	} {
		if _, err := s.Start(cmd, events); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	s.Wait()
}

func TestStolenStatusIsLost(t *testing.T) {
	if e := reap(1); !e.Lost || e.Code != -1 {
		t.Errorf("not our child: got %+v", e)
	}
}
