//go:build linux

package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/proctor-mcp/proctor/proctest"
)

var soakTime = flag.Duration("soak", 0, "how long TestSoak runs; from 11m on it checks that the server does not grow")

// TestSoak uses a server in every way, for hours if asked to (-soak). Each answer must
// be right, and the server must not grow.
func TestSoak(t *testing.T) {
	proctest.Need(t, "setsid")
	d := *soakTime
	if d == 0 {
		d = quickTime
	}
	const (
		chats     = 50
		reportGap = 30 * time.Second
	)
	// With 2m, what the server keeps on purpose has its full size before the comparison
	// begins.
	s := newServer(t, serverArgv(t, "--forget-after", "2m"))
	var watched watch
	ended, watching := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watching)
		seconds := time.NewTicker(time.Second)
		defer seconds.Stop()
		reports := time.NewTicker(reportGap)
		defer reports.Stop()
		for {
			select {
			case <-seconds.C:
				watched = append(watched, footprintOf(s))
			case <-reports.C:
				t.Logf("after %d s: %v", len(watched), watched.lastMinute())
			case <-ended:
				return
			}
		}
	}()
	var outcomes series
	uses := uses()
	every(time.Second/20, d, func(i int, due time.Time) {
		// Each chat gets each kind of use in turn.
		use := uses[(i+i/chats)%len(uses)]
		a, err := use.run(t.Context(), s, fmt.Sprintf("chat-%d", i%chats))
		if err == nil && !use.right(a) {
			err = fmt.Errorf("wrong answer: %v", a.toolAnswer)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", use.name, err)
			t.Log(err)
		}
		outcomes.add(a.at.Sub(due), err)
	})
	close(ended)
	<-watching
	outcomes.check(t, "uses")
	watched = append(watched, footprintOf(s))
	t.Logf("%d uses in %v; at the end %v", len(outcomes.times), d, watched.lastMinute())
	watched.compare(t)
}

// use is one way to use a server.
type use struct {
	name  string
	run   func(ctx context.Context, s *server, chat string) (answer, error)
	right func(answer) bool
}

func uses() []use {
	start := func(arguments string) func(context.Context, *server, string) (answer, error) {
		return func(ctx context.Context, s *server, chat string) (answer, error) {
			return s.run(ctx, chat, arguments)
		}
	}
	exited := func(a answer) bool { return !a.Running && a.ExitCode != nil && *a.ExitCode == 0 }
	signaled := func(a answer, signal, reason string) bool {
		return !a.Running && a.Signal != nil && *a.Signal == signal && a.Reason != nil && *a.Reason == reason
	}
	return []use{
		{"true", start(`{"command":"true"}`), exited},
		{"output of 100 KiB", start(`{"command":"head -c 102400 /dev/zero | tr '\\0' x"}`),
			func(a answer) bool { return exited(a) && a.NextCursor == 100<<10 }},
		{"pipeline", start(`{"command":"printf 'b\\na\\n' | sort | head -n 1"}`),
			func(a answer) bool { return exited(a) && a.Output == "a\n" }},
		{"daemon", start(`{"command":"setsid sleep 1 >/dev/null 2>&1 & echo left"}`),
			// The daemon may have ended before the answer was made.
			func(a answer) bool {
				return exited(a) && a.Output == "left\n" && a.Descendants != nil && (*a.Descendants == 1 || a.took() > time.Second)
			}},
		{"timeout", start(`{"command":"exec sleep 600","timeout_ms":200}`),
			func(a answer) bool { return signaled(a, "SIGTERM", "timeout") }},
		{"kill",
			func(ctx context.Context, s *server, chat string) (answer, error) {
				a, err := s.call(ctx, chat, "process_start", idleCommand)
				if err != nil {
					return a, err
				}
				return s.kill(ctx, chat, a.ProcessID)
			},
			func(a answer) bool { return signaled(a, "SIGKILL", "requested") }},
	}
}

// footprint is what a server uses, as far as it can be seen from outside.
type footprint struct{ descriptors, threads, rssKiB float64 }

func (f footprint) String() string {
	return fmt.Sprintf("%.1f descriptors, %.1f threads, RSS %.0f KiB", f.descriptors, f.threads, f.rssKiB)
}

// footprintOf returns what a server uses now. Only root can count the descriptors: the
// server is not dumpable.
func footprintOf(s *server) footprint {
	fds, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	threads, _ := s.status("Threads")
	rss, _ := s.status("VmRSS")
	return footprint{float64(len(fds)), float64(threads), float64(rss)}
}

// watch is what a server used in each second.
type watch []footprint

func (w watch) mean() (m footprint) {
	for _, f := range w {
		m.descriptors += f.descriptors / float64(len(w))
		m.threads += f.threads / float64(len(w))
		m.rssKiB += f.rssKiB / float64(len(w))
	}
	return m
}

func (w watch) lastMinute() footprint { return w[max(0, len(w)-60):].mean() }

// compare fails the test if the server has grown.
func (w watch) compare(t *testing.T) {
	if len(w) < compareTo+60 {
		t.Log("too short to tell whether the server grows")
		return
	}
	before, after := w[compareFrom:compareTo].mean(), w.lastMinute()
	t.Logf("minutes 5 to 10: %v", before)
	t.Logf("last minute:     %v", after)
	if after.exceeds(before) {
		t.Error("the server has grown")
	}
}

// The seconds that the last minute is compared with.
const compareFrom, compareTo = 5 * 60, 10 * 60

// exceeds reports whether f is over 5 % more than before. Of descriptors and threads
// that would be less than one, so it allows a few more of those.
func (f footprint) exceeds(before footprint) bool {
	const few = 4
	return f.rssKiB > before.rssKiB*1.05 ||
		f.descriptors > max(before.descriptors*1.05, before.descriptors+few) ||
		f.threads > max(before.threads*1.05, before.threads+few)
}

func TestGrowthIsSeen(t *testing.T) {
	before := footprint{descriptors: 40, threads: 10, rssKiB: 50000}
	for _, c := range []struct {
		after footprint
		want  bool
	}{
		{before, false},
		{footprint{44, 14, 52000}, false},
		{footprint{45, 10, 50000}, true},
		{footprint{40, 15, 50000}, true},
		{footprint{40, 10, 53000}, true},
	} {
		if got := c.after.exceeds(before); got != c.want {
			t.Errorf("%v exceeds %v: %v", c.after, before, got)
		}
	}
}
