//go:build linux

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// These tests run for about a second each, so that they do not rot. What they
// print says something, and what they demand is demanded, only for a time that is
// asked for.
var (
	loadTime    = flag.Duration("load", 0, "how long TestLoad starts and lists among a thousand live processes")
	hostileTime = flag.Duration("hostile", 0, "how long each part of TestHostile takes")
	serverFlag  = flag.String("server", "", "server that TestLoad loads, its program and arguments; by default proctor stdio")
)

// quickTime stands for a time that is not asked for.
const quickTime = time.Second

// serverArgv is how the server that is loaded is started. Its limits are the
// default ones: TestLoad stays below them.
func serverArgv(t *testing.T, flags ...string) []string {
	t.Helper()
	binary, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{binary, "stdio", "--log-level", "error"}, flags...)
}

// newPeer starts a server that is ended with the test.
func newPeer(t *testing.T, argv []string) *peer {
	t.Helper()
	p, err := startPeer(t.Context(), argv)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// series are the outcomes of calls of one kind.
type series struct {
	mu     sync.Mutex // guards the fields below
	times  []time.Duration
	failed int
	first  error
}

func (s *series) add(d time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.times = append(s.times, d)
		return
	}
	if s.failed++; s.first == nil {
		s.first = err
	}
}

// at returns a percentile, rounded to what matters.
func (s *series) at(p float64) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.times) == 0 {
		return 0
	}
	slices.Sort(s.times)
	return percentile(s.times, p).Round(10 * time.Microsecond)
}

func (s *series) String() string {
	return fmt.Sprintf("p50 %v, p99 %v, n %d", s.at(50), s.at(99), len(s.times))
}

func (s *series) check(t *testing.T, what string) {
	t.Helper()
	if s.failed > 0 || len(s.times) == 0 {
		t.Errorf("%s: %d failed, %d did not; the first: %v", what, s.failed, len(s.times), s.first)
	}
}

// String shows what the answer points to as well.
func (a toolAnswer) String() string {
	text, _ := json.Marshal(a)
	return string(text)
}

// every calls f each time it is due, in a goroutine of its own, whatever the
// calls before are at: a server that is slow is not asked less. It returns once
// the time is over and all have returned.
func every(interval, d time.Duration, f func(i int, due time.Time)) {
	var wg sync.WaitGroup
	defer wg.Wait()
	begun := time.Now()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for i := range int(d / interval) {
		due := begun.Add(time.Duration(i) * interval)
		for time.Now().Before(due) {
			<-ticker.C
		}
		wg.Go(func() { f(i, due) })
	}
}

// TestLoad starts 200 processes a second and lists 20 times a second while others
// live, in many chats.
func TestLoad(t *testing.T) {
	d, chats := *loadTime, 500
	if d == 0 {
		d, chats = quickTime, 20
	}
	const livePerChat = 2
	argv := strings.Fields(*serverFlag)
	if len(argv) == 0 {
		argv = serverArgv(t, "--max-running", "0")
	}
	p := newPeer(t, argv)
	ctx := t.Context()
	chat := func(i int) string { return fmt.Sprintf("chat-%d", i%chats) }

	// Another server may leave them behind: they end by themselves.
	lives := fmt.Sprintf(`{"command":"exec sleep %.0f","background":true}`, (d + time.Minute).Seconds())
	var idle, starts, lists series
	var wg sync.WaitGroup
	for i := range chats * livePerChat {
		wg.Go(func() {
			a, err := p.call(ctx, chat(i), "process_start", lives)
			idle.add(a.took(), err)
		})
	}
	wg.Wait()
	idle.check(t, "starts of what lives on")
	before, _ := p.status("VmRSS")

	// A yardstick that knows no chats lists everything: that would slow its starts.
	a, err := p.call(ctx, chat(0), "process_list", "{}")
	ownLists := err == nil && len(a.Processes) == livePerChat
	if !ownLists && *serverFlag == "" {
		t.Errorf("a chat lists %d processes, %v; want %d", len(a.Processes), err, livePerChat)
	}
	wg.Go(func() {
		every(time.Second/200, d, func(i int, due time.Time) {
			a, err := p.call(ctx, chat(i), "process_start", `{"command":"true","background":false}`)
			if err == nil && (a.Running || a.ExitCode == nil || *a.ExitCode != 0) {
				err = fmt.Errorf("wrong answer: %v", a.toolAnswer)
			}
			starts.add(a.at.Sub(due), err)
		})
	})
	if ownLists {
		every(time.Second/20, d, func(i int, due time.Time) {
			a, err := p.call(ctx, chat(i), "process_list", "{}")
			if err == nil && len(a.Processes) < livePerChat {
				err = fmt.Errorf("%d processes are listed", len(a.Processes))
			}
			lists.add(a.at.Sub(due), err)
		})
		lists.check(t, "lists")
		t.Logf("list of a chat: %v", &lists)
	}
	wg.Wait()
	starts.check(t, "starts")

	after, _ := p.status("VmRSS")
	peak, _ := p.status("VmHWM")
	threads, _ := p.status("Threads")
	t.Logf("%d live processes of %d chats, 200 starts of true a second for %v", chats*livePerChat, chats, d)
	t.Logf("start until exit known: %v", &starts)
	t.Logf("server: RSS %d KiB before, %d after, %d at most; %d threads", before, after, peak, threads)
	// The promise for the exit: 250 ms.
	if most := 250 * time.Millisecond; *loadTime > 0 && *serverFlag == "" && starts.at(99) > most {
		t.Errorf("p99 of the starts is %v, more than %v", starts.at(99), most)
	}
}

// attack begins what a hostile chat does until ctx ends. Each leaves room below
// the limits of a chat for the others.
type attack func(ctx context.Context, p *peer, wg *sync.WaitGroup, calls int) error

const (
	attacker = "a"
	victim   = "b"
)

// startsWithoutEnd keeps many starts on their way.
func startsWithoutEnd(ctx context.Context, p *peer, wg *sync.WaitGroup, calls int) error {
	for range calls {
		wg.Go(func() {
			for ctx.Err() == nil {
				// Refusals by a limit are part of it.
				_, _ = p.call(ctx, attacker, "process_start", `{"command":"true"}`)
			}
		})
	}
	return nil
}

// floods runs many endless outputs.
func floods(ctx context.Context, p *peer, _ *sync.WaitGroup, calls int) error {
	for range calls - 2 {
		if _, err := p.call(ctx, attacker, "process_start", `{"command":"exec yes","background":true}`); err != nil {
			return err
		}
	}
	return nil
}

// waitsWithoutEnd has very many calls wait.
func waitsWithoutEnd(ctx context.Context, p *peer, wg *sync.WaitGroup, calls int) error {
	a, err := p.call(ctx, attacker, "process_start", idleCommand)
	if err != nil {
		return err
	}
	for range calls * 30 {
		wg.Go(func() {
			for {
				if _, err := p.call(ctx, attacker, "process_output", fmt.Sprintf(`{"process_id":%q,"wait_ms":50000}`, a.ProcessID)); err != nil {
					return
				}
			}
		})
	}
	return nil
}

// TestHostile measures what a chat sees while another does its worst.
func TestHostile(t *testing.T) {
	d, calls := *hostileTime, 64
	if d == 0 {
		d, calls = quickTime/5, 8
	}
	var aloneList, aloneStart time.Duration
	for _, part := range []struct {
		name    string
		attacks []attack
	}{
		{"alone", nil},
		{"starts without end", []attack{startsWithoutEnd}},
		{"floods", []attack{floods}},
		{"waits without end", []attack{waitsWithoutEnd}},
		{"all three", []attack{floods, waitsWithoutEnd, startsWithoutEnd}},
	} {
		t.Run(part.name, func(t *testing.T) {
			p := newPeer(t, serverArgv(t))
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			for _, attack := range part.attacks {
				if err := attack(ctx, p, &wg, calls); err != nil {
					t.Error(err)
				}
			}
			var lists, starts series
			measure(ctx, p, d, &lists, &starts)
			cancel()
			wg.Wait()
			lists.check(t, "lists")
			starts.check(t, "starts")
			if part.attacks == nil {
				aloneList, aloneStart = lists.at(99), starts.at(99)
			}
			t.Logf("list: %v (p99 %+.2f ms to alone)", &lists, milliseconds(lists.at(99)-aloneList))
			t.Logf("start: %v (p99 %+.2f ms to alone)", &starts, milliseconds(starts.at(99)-aloneStart))
		})
	}
}

// measure lists, and starts and kills, 20 times a second each.
func measure(ctx context.Context, p *peer, d time.Duration, lists, starts *series) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		every(time.Second/20, d, func(_ int, due time.Time) {
			a, err := p.call(ctx, victim, "process_list", "{}")
			lists.add(a.at.Sub(due), err)
		})
	})
	every(time.Second/20, d, func(_ int, due time.Time) {
		a, err := p.call(ctx, victim, "process_start", idleCommand)
		starts.add(a.at.Sub(due), err)
		if err == nil {
			if _, err := p.call(ctx, victim, "process_signal", fmt.Sprintf(`{"process_id":%q,"signal":"kill"}`, a.ProcessID)); err != nil {
				starts.add(0, err)
			}
		}
	})
}
