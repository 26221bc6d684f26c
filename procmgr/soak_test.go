//go:build linux

package procmgr

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/coder/quartz"

	"github.com/proctor-mcp/proctor/proctest"
)

// footprint is what the program holds.
type footprint struct{ descriptors, goroutines, threads, rssKiB int }

func measure(t testing.TB) (f footprint) {
	t.Helper()
	runtime.GC()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(status) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch string(name) {
		case "Threads":
			fmt.Sscan(string(value), &f.threads)
		case "VmRSS":
			fmt.Sscan(string(value), &f.rssKiB)
		}
	}
	f.descriptors, f.goroutines = len(fds), runtime.NumGoroutine()
	return f
}

// TestEveryRunIsWhole runs many commands, two at a time. Each exit code must be right, the
// output must be whole as soon as the exit can be read, and nothing may be left in the end.
func TestEveryRunIsWhole(t *testing.T) {
	clock := quartz.NewMock(t).WithLogger(quartz.NoOpLogger)
	const batch = 250
	m := newManager(t, Options{Clock: clock, KeepFinished: batch})
	var before footprint
	for done := 0; done < *runsFlag; done += batch {
		var wg sync.WaitGroup
		for half := range 2 {
			wg.Go(func() {
				for i := half; i < batch; i += 2 {
					code, text := i%256, strconv.Itoa(done+i)
					p, out := wait(t, m, sh(t, m, "echo "+text+"; exit "+strconv.Itoa(code)))
					if p.Exit.Code != code || p.Exit.Reason != ReasonExited || out != text+"\n" || p.OutputOpen {
						t.Errorf("run %s: %+v, output %q", text, p, out)
					}
					of(t, m, p).MarkReported()
				}
			})
		}
		wg.Wait()
		if t.Failed() {
			return
		}
		// They are forgotten, so that what stays is a leak.
		list, _ := m.In(Chat("c")).List(FilterAll, batch)
		for _, p := range list {
			waitGone(t, m, p)
			proctest.Within(t, "its time is set", func() bool { return scheduled(m, p) })
		}
		for range 2 { // the later of the report and the end of all descendants sets the time
			clock.Advance(DefaultForgetAfter).MustWait(t.Context())
		}
		if list, _ := m.In(Chat("c")).List(FilterAll, batch); len(list) > 0 {
			t.Fatalf("%d are not forgotten", len(list))
		}
		if done == 0 {
			before = measure(t)
		}
	}
	after := measure(t)
	t.Logf("%d runs: before %+v, after %+v", *runsFlag, before, after)
	if after.descriptors > before.descriptors+40 || after.goroutines > before.goroutines+5 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if *runsFlag > quickRuns && (after.threads > before.threads+5 || after.rssKiB > before.rssKiB*3/2+8<<10) {
		t.Errorf("before %+v, after %+v", before, after)
	}
	const spare = 40 // cgroups that wait for the next start
	if left := ownCgroups(t, m); left > spare {
		t.Errorf("%d cgroups are left", left)
	}
}

// ownCgroups counts the cgroups that this program has for its processes: the
// neighbours of one that runs.
func ownCgroups(t *testing.T, m *Manager) int {
	t.Helper()
	if host.KillDomain() != "cgroup" {
		return 0
	}
	p := sh(t, m, "exec sleep 1000")
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pidOf(t, m, p)))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut("\n"+string(text), "\n0::")
	path, _, _ := strings.Cut(after, "\n")
	for _, mount := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(mount + path + "/cgroup.procs"); err == nil {
			list, _ := filepath.Glob(filepath.Dir(mount+path) + "/*/cgroup.procs")
			return len(list)
		}
	}
	t.Fatalf("no cgroup %s", path)
	return 0
}
