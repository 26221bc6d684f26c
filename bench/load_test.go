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

// These flags make the tests of this file measure. Without them each test runs for
// about a second, so that it does not rot, and checks answers but no times.
var (
	loadTime    = flag.Duration("load", 0, "how long TestLoad starts and lists processes while a thousand others live")
	hostileTime = flag.Duration("hostile", 0, "how long each part of TestHostile lasts")
	serverFlag  = flag.String("server", "", "the server that TestLoad loads: a program and its arguments; default proctor stdio")
)

// quickTime is how long a test runs without its flag.
const quickTime = time.Second

// serverArgv returns the command line of a server with the default limits on calls and
// processes, which these tests stay below.
func serverArgv(t *testing.T, flags ...string) []string {
	t.Helper()
	binary, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{binary, "stdio", "--log-level", "error", "--grace", "1m"}, flags...)
}

// newServer starts a server that ends with the test.
func newServer(t *testing.T, argv []string) *server {
	t.Helper()
	s, err := startServer(t.Context(), argv)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// series holds the outcomes of calls of one kind.
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

// at returns a percentile, rounded to 10 µs.
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

// String shows the values behind the pointers as well.
func (a toolAnswer) String() string {
	text, _ := json.Marshal(a)
	return string(text)
}

// every calls f once per interval for the time d, each time in a goroutine of its
// own. It does not wait for earlier calls, so that a slow server is not asked less
// often. It returns when all calls have returned.
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

// TestLoad starts 200 processes and lists 20 times a second, in many chats, while
// other processes live.
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
	s := newServer(t, argv)
	ctx := t.Context()
	chat := func(i int) string { return fmt.Sprintf("chat-%d", i%chats) }

	// They end by themselves: another server (-server) may leave them behind.
	lives := fmt.Sprintf(`{"command":"exec sleep %.0f","background":true}`, (d + time.Minute).Seconds())
	var idle, starts, lists series
	var wg sync.WaitGroup
	for i := range chats * livePerChat {
		wg.Go(func() {
			a, err := s.call(ctx, chat(i), "process_start", lives)
			idle.add(a.took(), err)
		})
	}
	wg.Wait()
	idle.check(t, "starts of processes that live on")
	before, _ := s.status("VmRSS")

	// A server without chats would list everything, which would slow its starts.
	a, err := s.call(ctx, chat(0), "process_list", "{}")
	ownLists := err == nil && len(a.Processes) == livePerChat
	if !ownLists && *serverFlag == "" {
		t.Errorf("a chat lists %d processes, %v; want %d", len(a.Processes), err, livePerChat)
	}
	wg.Go(func() {
		every(time.Second/200, d, func(i int, due time.Time) {
			a, err := s.run(ctx, chat(i), `{"command":"true","background":false}`)
			if err == nil && (a.ExitCode == nil || *a.ExitCode != 0) {
				err = fmt.Errorf("wrong answer: %v", a.toolAnswer)
			}
			starts.add(a.at.Sub(due), err)
		})
	})
	if ownLists {
		every(time.Second/20, d, func(i int, due time.Time) {
			a, err := s.call(ctx, chat(i), "process_list", "{}")
			if err == nil && len(a.Processes) < livePerChat {
				err = fmt.Errorf("process_list has %d processes", len(a.Processes))
			}
			lists.add(a.at.Sub(due), err)
		})
		lists.check(t, "lists")
		t.Logf("list of a chat: %v", &lists)
	}
	wg.Wait()
	starts.check(t, "starts")

	after, _ := s.status("VmRSS")
	peak, _ := s.status("VmHWM")
	threads, _ := s.status("Threads")
	t.Logf("%d live processes of %d chats, 200 starts of true a second for %v", chats*livePerChat, chats, d)
	t.Logf("start until exit known: %v", &starts)
	t.Logf("server: RSS %d KiB before, %d after, %d at most; %d threads", before, after, peak, threads)
	// The promise for the exit: 250 ms.
	if most := 250 * time.Millisecond; *loadTime > 0 && *serverFlag == "" && starts.at(99) > most {
		t.Errorf("p99 of the starts is %v, more than %v", starts.at(99), most)
	}
}

// attack begins what a hostile chat does until ctx ends. Each attack leaves room
// below the limits of a chat for the other attacks.
type attack func(ctx context.Context, s *server, wg *sync.WaitGroup, calls int) error

const (
	attacker = "a"
	victim   = "b"
)

// startsWithoutEnd keeps many starts in progress.
func startsWithoutEnd(ctx context.Context, s *server, wg *sync.WaitGroup, calls int) error {
	for range calls {
		wg.Go(func() {
			for ctx.Err() == nil {
				// A limit may refuse some.
				_, _ = s.call(ctx, attacker, "process_start", `{"command":"true"}`)
			}
		})
	}
	return nil
}

// floods runs many processes that write without end.
func floods(ctx context.Context, s *server, _ *sync.WaitGroup, calls int) error {
	for range calls - 2 {
		if _, err := s.call(ctx, attacker, "process_start", `{"command":"exec yes","background":true}`); err != nil {
			return err
		}
	}
	return nil
}

// waitsWithoutEnd keeps very many calls waiting.
func waitsWithoutEnd(ctx context.Context, s *server, wg *sync.WaitGroup, calls int) error {
	a, err := s.call(ctx, attacker, "process_start", idleCommand)
	if err != nil {
		return err
	}
	for range calls * 30 {
		wg.Go(func() {
			for {
				if _, err := s.call(ctx, attacker, "process_output", fmt.Sprintf(`{"process_id":%q,"wait_ms":50000}`, a.ProcessID)); err != nil {
					return
				}
			}
		})
	}
	return nil
}

// TestHostile measures how long the calls of a chat take while another chat does its
// worst.
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
			s := newServer(t, serverArgv(t))
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			for _, attack := range part.attacks {
				if err := attack(ctx, s, &wg, calls); err != nil {
					t.Error(err)
				}
			}
			var lists, starts series
			measure(ctx, s, d, &lists, &starts)
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
func measure(ctx context.Context, s *server, d time.Duration, lists, starts *series) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		every(time.Second/20, d, func(_ int, due time.Time) {
			a, err := s.call(ctx, victim, "process_list", "{}")
			lists.add(a.at.Sub(due), err)
		})
	})
	every(time.Second/20, d, func(_ int, due time.Time) {
		a, err := s.call(ctx, victim, "process_start", idleCommand)
		starts.add(a.at.Sub(due), err)
		if err == nil {
			if _, err := s.call(ctx, victim, "process_signal", fmt.Sprintf(`{"process_id":%q,"signal":"kill"}`, a.ProcessID)); err != nil {
				starts.add(0, err)
			}
		}
	})
}
