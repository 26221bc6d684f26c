//go:build linux

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// These flags make the tests of this file measure. Without them each test runs for a
// moment, so that it does not rot, and checks answers but neither times nor memory.
var (
	floodMiB = flag.Int("flood", 0, "how many MiB TestGreatFlood sends through a process")
	wakes    = flag.Int("wakes", 0, "how many times TestWakeUp waits for each condition")
)

// TestWakeUp measures the time from an event that a call waits for to the answer of
// the call. The event comes from a cat that reads a fifo; the figure includes the
// time that cat takes.
func TestWakeUp(t *testing.T) {
	n := *wakes
	if n == 0 {
		n = 5
	}
	s := newServer(t, serverArgv(t))
	ctx := t.Context()
	dir := t.TempDir()
	for _, kind := range []struct {
		name, condition string
		exits           bool
	}{
		{"line", `{"output_matches":"^done$"}`, false},
		{"new output", `{"new_output":true}`, false},
		{"exit", `{"output_matches":"never"}`, true},
	} {
		var took series
		for range n {
			d, err := wakeUp(ctx, s, dir, kind.condition, kind.exits)
			took.add(d, err)
		}
		took.check(t, kind.name)
		t.Logf("%s: %v", kind.name, &took)
		if *wakes > 0 && took.at(99) > 10*time.Millisecond {
			t.Errorf("%s: p99 is %v", kind.name, took.at(99))
		}
	}
}

// wakeUp measures one call that waits for a line, or for the exit of its process.
func wakeUp(ctx context.Context, s *server, dir, condition string, exits bool) (time.Duration, error) {
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		return 0, err
	}
	defer os.Remove(fifo)
	a, err := s.call(ctx, victim, "process_start", fmt.Sprintf(`{"command":"exec cat %s","background":true}`, fifo))
	if err != nil {
		return 0, err
	}
	in, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	type outcome struct {
		answer
		err error
	}
	answered := make(chan outcome, 1)
	go func() {
		a, err := s.call(ctx, victim, "process_output", fmt.Sprintf(`{"process_id":%q,"cursor":0,"wait_for":%s}`, a.ProcessID, condition))
		answered <- outcome{a, err}
	}()
	for range 3 { // by then the call most likely waits; if not, the figure is only worse
		if _, err := s.call(ctx, victim, "process_list", "{}"); err != nil {
			return 0, err
		}
	}
	begun := time.Now()
	if exits {
		err = in.Close()
	} else {
		_, err = io.WriteString(in, "done\n")
	}
	if err != nil {
		return 0, err
	}
	o := <-answered
	if o.err == nil && (o.Running == exits || exits != (o.Output == "")) {
		o.err = fmt.Errorf("wrong answer: %v", o.toolAnswer)
	}
	return o.at.Sub(begun), o.err
}

// TestEcho measures a line to a cat and back, and compares it with a list.
func TestEcho(t *testing.T) {
	n := max(*wakes, 5)
	s := newServer(t, serverArgv(t))
	ctx := t.Context()
	for _, kind := range []string{`"keep_stdin":true`, `"tty":{}`} {
		a, err := s.call(ctx, victim, "process_start", `{"command":"exec cat","background":true,`+kind+`}`)
		if err != nil {
			t.Fatal(err)
		}
		var echo, list series
		for i := range n {
			l, err := s.call(ctx, victim, "process_list", "{}")
			list.add(l.took(), err)
			line := fmt.Sprintf("line %d", i)
			e, err := s.call(ctx, victim, "process_input", fmt.Sprintf(`{"process_id":%q,"text":"%s\n","wait_for":{"output_matches":"^%s$"}}`, a.ProcessID, line, line))
			if err == nil && !strings.Contains(e.Output, line) {
				err = fmt.Errorf("wrong answer: %v", e.toolAnswer)
			}
			echo.add(e.took(), err)
		}
		echo.check(t, kind)
		t.Logf("%s: echo %v, list %v", kind, &echo, &list)
		if more := echo.at(50) - list.at(50); *wakes > 0 && more > 2*time.Millisecond {
			t.Errorf("%s: %v more than a list", kind, more)
		}
	}
}

// TestWaitersCostNothing measures the CPU time of a server in which a hundred calls
// wait for lines, for output and for silence of processes that write nothing.
func TestWaitersCostNothing(t *testing.T) {
	d := 10 * time.Second
	if *wakes == 0 {
		d = quickTime
	}
	s := newServer(t, serverArgv(t))
	ctx, cancel := context.WithCancel(t.Context())
	for i := range 100 {
		chat := strconv.Itoa(i)
		a, err := s.call(ctx, chat, "process_start", idleCommand)
		if err != nil {
			t.Fatal(err)
		}
		condition := []string{`{"output_matches":"never"}`, `{"new_output":true}`, `{"idle_ms":600000}`}[i%3]
		go s.call(ctx, chat, "process_output", fmt.Sprintf(`{"process_id":%q,"wait_ms":50000,"wait_for":%s}`, a.ProcessID, condition))
	}
	if _, err := s.call(ctx, "0", "process_list", "{}"); err != nil {
		t.Fatal(err)
	}
	before := cpuTime(t, s)
	<-time.After(d)
	used := cpuTime(t, s) - before
	cancel()
	t.Logf("100 waiting calls: %v of CPU time in %v", used, d)
	if share := float64(used) / float64(d); *wakes > 0 && share > 0.002 {
		t.Errorf("%.2f %% of a CPU", 100*share)
	}
}

// cpuTime returns the CPU time that the server has used, to 10 ms.
func cpuTime(t *testing.T, s *server) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var ticks int64
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+2:]))
	for _, field := range fields[11:13] { // utime and stime, proc_pid_stat(5)
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// TestGreatFlood lets a process write very much and checks the memory and disk that
// the server uses for it. Then it compares the rate with that of a reader which
// throws everything away, in turns.
func TestGreatFlood(t *testing.T) {
	size := *floodMiB
	if size == 0 {
		size = 64
	}
	s := newServer(t, append(serverArgv(t), "--output-dir", filepath.Join(t.TempDir(), "output")))
	for range 100 {
		if _, err := s.call(t.Context(), victim, "process_list", "{}"); err != nil {
			t.Fatal(err)
		}
	}
	idle, _ := s.status("VmRSS")
	const command = `head -c %dM /dev/zero | tr '\0' x` // tr makes every byte, as a real program does
	flood := func(size int) time.Duration {
		a, err := s.run(t.Context(), victim, fmt.Sprintf(`{"command":%q,"wait_ms":50000}`, fmt.Sprintf(command, size)))
		if err != nil || a.NextCursor != int64(size)<<20 {
			t.Errorf("wrong answer: %v, %v", a.toolAnswer, err)
		}
		return a.took()
	}
	done := make(chan time.Duration)
	go func() { done <- flood(size) }()
	var disk int64
	for took := time.Duration(0); took == 0; {
		select {
		case took = <-done:
			t.Logf("%d MiB in %v", size, took)
		case <-time.After(20 * time.Millisecond):
		}
		disk = max(disk, largestFile(s))
	}
	peak, _ := s.status("VmHWM")
	t.Logf("largest file on disk: %.1f MiB; RSS idle %.1f, at most %.1f MiB", float64(disk)/(1<<20), float64(idle)/1024, float64(peak)/1024)
	if disk > 17<<20 {
		t.Errorf("%d bytes on disk", disk)
	}
	if *floodMiB > 0 && peak-idle > 2<<10 {
		t.Errorf("RSS is %d KiB more than idle", peak-idle)
	}

	const rounds = 8
	var ratios []float64 // of the rates
	for range rounds {
		took := flood(size / rounds)
		ratios = append(ratios, throwAway(t, fmt.Sprintf(command, size/rounds)).Seconds()/took.Seconds())
	}
	slices.Sort(ratios)
	t.Logf("ratio of the rate to that of throwing everything away: %.2f (%.2f to %.2f)", ratios[rounds/2], ratios[0], ratios[rounds-1])
	if *floodMiB > 0 && ratios[rounds-1] < 0.9 {
		t.Errorf("the rate is %.2f of that of throwing everything away", ratios[rounds-1])
	}
}

// throwAway runs a command, reads its output, and returns how long that took.
func throwAway(t *testing.T, command string) time.Duration {
	t.Helper()
	cmd := exec.Command("sh", "-c", command)
	out, err := cmd.StdoutPipe()
	begun := time.Now()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{out}, make([]byte, 64<<10))
	}
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		t.Fatal(err)
	}
	return time.Since(begun)
}

// largestFile returns the size on disk of the largest file that the server has open.
// The files of outputs have no name, so they cannot be looked up otherwise.
func largestFile(s *server) (size int64) {
	dir := fmt.Sprintf("/proc/%d/fd/", s.cmd.Process.Pid)
	fds, _ := os.ReadDir(dir)
	for _, fd := range fds {
		if info, err := os.Stat(dir + fd.Name()); err == nil && info.Mode().IsRegular() {
			size = max(size, info.Sys().(*syscall.Stat_t).Blocks*512)
		}
	}
	return size
}
