//go:build linux

package spawn

import (
	"errors"

	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/spawn/cgroup"
	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
	"github.com/proctor-mcp/proctor/proctest"
)

// limit sets limits for a test, or skips it where the user may write no cgroups;
// that it is refused then is what the test sees.
func limit(t *testing.T, limits Limits) {
	t.Helper()
	if err := host.SetLimits(limits); err != nil {
		named := ErrMemoryLimit
		if limits.Memory+limits.MemoryPerScope == 0 {
			named = ErrPidsLimit
		}
		if !errors.Is(err, named) {
			t.Fatal(err)
		}
		t.Skip("SKIPPED:", err)
	}
	t.Cleanup(func() {
		host.choice.limiter.Close()
		host.choice.limiter = nil
		for _, controller := range []string{"memory", "pids"} {
			own, err := cgroup.Own(controller)
			if err != nil {
				continue // it is of version 2, and the pool's
			}
			cgroup.Instances(own, func(i procfs.Instance, dir string) {
				if i == host.adoption.self {
					t.Errorf("%s is left", dir)
				}
			})
		}
	})
}

// hog takes that many MiB, then waits.
func hog(mib int) string {
	return `perl -e '$|=1; vec($x, (` + strconv.Itoa(mib) + `<<20)-1, 8) = 1; print "has it\n"; sleep 300'`
}

// pids returns the last number in a file of the controller pids for a command.
func pids(t *testing.T, r *run, file string) (n int) {
	t.Helper()
	controller := "pids"
	own, err := cgroup.Own(controller)
	if err != nil {
		controller = ""
		own, err = cgroup.Own(controller)
	}
	if err != nil {
		t.Fatal(err)
	}
	path := func(process string) string {
		text, _ := os.ReadFile("/proc/" + process + "/cgroup")
		for line := range strings.Lines(string(text)) {
			if fields := strings.SplitN(strings.TrimSpace(line), ":", 3); slices.Contains(strings.Split(fields[1], ","), controller) {
				return fields[2]
			}
		}
		return ""
	}
	self := path("self")
	if strings.HasSuffix(self, procfs.ServerCgroup("")) { // where limits are of version 2
		self, own = filepath.Dir(self), filepath.Dir(own)
	}
	below := strings.TrimPrefix(path(strconv.Itoa(r.Pid())), self)
	text, err := os.ReadFile(filepath.Join(own, below, file))
	fields := strings.Fields(string(text))
	if err != nil || below == "" || len(fields) == 0 {
		t.Fatalf("%s below %s: %q, %v", file, own, text, err)
	}
	n, err = strconv.Atoi(fields[len(fields)-1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func command(scope, script string) Command {
	return Command{Argv: []string{"sh", "-c", script}, Scope: scope}
}

func TestMemoryLimitEndsOneAndNotItsNeighbour(t *testing.T) {
	limit(t, Limits{Memory: 64 << 20})
	neighbour := start(t, command("g", hog(8)))
	neighbour.await("has it")
	hungry := start(t, command("g", hog(200)))
	e := hungry.ended()
	if e.Code != 137 && e.Signal != "SIGKILL" || !slices.Equal(e.Limits, []Limit{LimitMemory}) {
		t.Errorf("got %+v", e)
	}
	if e.Usage.MaxMemory < 60<<20 || e.Usage.MaxMemory > 64<<20 {
		t.Errorf("held %d bytes at most", e.Usage.MaxMemory)
	}
	if list, err := neighbour.Members(); err != nil || len(list) == 0 {
		t.Errorf("the neighbour: %v %v", list, err)
	}
	neighbour.Signal(SignalKill)
	if e := neighbour.ended(); e.Limits != nil {
		t.Errorf("the neighbour: %+v", e)
	}
}

func TestMemoryLimitOfAGroup(t *testing.T) {
	limit(t, Limits{MemoryPerScope: 100 << 20})
	first := start(t, command("g", hog(30)))
	first.await("has it")
	other := start(t, command("other", hog(60)))
	other.await("has it")
	// The kernel kills the largest of the group.
	second := start(t, command("g", hog(90)))
	if e := second.ended(); !slices.Equal(e.Limits, []Limit{LimitMemoryPerScope}) {
		t.Errorf("got %+v", e)
	}
	first.Signal(SignalKill)
	first.gone()
	// What an end has freed is free.
	start(t, command("g", hog(80))).await("has it")
}

// A fork bomb stays below its limit, others can start, and it can be ended.
func TestForkBombUnderALimit(t *testing.T) {
	const most = 30
	limit(t, Limits{Pids: most, PidsPerScope: 2 * most})
	bomb := start(t, command("g", `perl -e '$|=1; print "go\n"; while (1) { fork; select undef, undef, undef, 0.001 }'`))
	bomb.await("go")
	proctest.Within(t, "limit reached", func() bool { return pids(t, bomb, "pids.events") > 100 })
	if n := pids(t, bomb, "pids.current"); n < 1 || n > most {
		t.Errorf("%d live", n)
	}
	for _, group := range []string{"g", "other"} {
		if e := start(t, command(group, "exit 3")).ended(); e.Code != 3 {
			t.Errorf("group %s: got %+v", group, e)
		}
	}
	if err := bomb.Signal(SignalKill); err != nil {
		t.Fatal(err)
	}
	bomb.gone()
	if e := bomb.ended(); !slices.Equal(e.Limits, []Limit{LimitPids}) {
		t.Errorf("got %+v", e)
	}
}

// A full group refuses a start by name, and takes one again after an end.
func TestPidsLimitOfAGroup(t *testing.T) {
	limit(t, Limits{PidsPerScope: 3})
	var running []*run
	for range 3 {
		running = append(running, start(t, command("g", "exec sleep 300")))
	}
	var refused *LimitError
	s := New(Options{Host: host})
	t.Cleanup(s.Wait)
	_, err := begin(t, s, command("g", "true"))
	if !errors.As(err, &refused) || refused.Limit != LimitPidsPerScope || refused.Used != 3 || refused.Max != 3 || !errors.Is(err, unix.EAGAIN) {
		t.Errorf("got %v", err)
	}
	if e := start(t, command("other", "exit 3")).ended(); e.Code != 3 {
		t.Errorf("another group: %+v", e)
	}
	running[0].Signal(SignalKill)
	running[0].gone()
	proctest.Within(t, "a start succeeds", func() bool {
		r, err := begin(t, s, command("g", "exit 3"))
		return err == nil && r.ended().Code == 3
	})
}

// No thread of the server stays in a cgroup of a command, whatever goes on at once.
func TestThreadsComeBack(t *testing.T) {
	limit(t, Limits{Memory: 1 << 30, Pids: 100})
	before := ownCgroups(t)
	s := New(Options{Host: host})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				r, err := begin(t, s, command("g", "exit 3"))
				if err != nil {
					t.Error(err)
					return
				}
				if e := <-r.exit; e.Code != 3 {
					t.Errorf("got %+v", e)
				}
			}
		})
	}
	wg.Wait()
	s.Wait()
	for task, cgroups := range ownCgroups(t) {
		if was, known := before[task]; known && was != cgroups || strings.Contains(cgroups, "/scope-") {
			t.Errorf("thread %s is in %s", task, cgroups)
		}
	}
}

// Nor does one where the memory is used up, and nothing can be opened any more.
func TestThreadsComeBackFromAFullCgroup(t *testing.T) {
	limit(t, Limits{MemoryPerScope: 1 << 20})
	s := New(Options{Host: host})
	t.Cleanup(s.Wait)
	for range 50 {
		// Some are killed, some are refused; that is between them and the limit.
		if r, err := begin(t, s, command("g", "head -c 300k /dev/zero | tail -c 300k | wc -c")); err == nil {
			r.ended()
		}
	}
	for task, cgroups := range ownCgroups(t) {
		if strings.Contains(cgroups, "/scope-") {
			t.Errorf("thread %s is in %s", task, cgroups)
		}
	}
	if e := start(t, command("other", "exit 3")).ended(); e.Code != 3 {
		t.Errorf("got %+v", e)
	}
}

func ownCgroups(t *testing.T) map[string]string {
	t.Helper()
	files, _ := filepath.Glob("/proc/self/task/*/cgroup")
	list := map[string]string{}
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil {
			list[file] = string(text)
		}
	}
	if len(list) == 0 {
		t.Fatal("no threads")
	}
	return list
}

// busy spends some CPU time.
const busy = `perl -e '$t=time+1; 1 while time<$t || (times)[0]<0.3'`

func TestUsageOfTheWholeDomain(t *testing.T) {
	if host.KillDomain() == KillDomainProcessGroup {
		t.Skip("orphans are nobody's there")
	}
	cue, give := proctest.Cue(t)
	r := shell(t, `(setsid sh -c 'perl -e "\$x=q(a)x(40<<20); \$|=1; 1 while (times)[0]<0.3; print qq(spent\n); open C, q(`+cue+`); <C>"' &); exit 3`)
	e := r.ended()
	r.await("spent")
	u, err := r.Usage()
	if err != nil || u.Processes == 0 || u.RSS < 40<<20 || u.User < 200*time.Millisecond {
		t.Errorf("running: %+v %v", u, err)
	}
	if e.Code != 3 {
		t.Errorf("got %+v", e)
	}
	give()
	r.gone()
	total, err := r.Usage()
	if err != nil || total.Processes != 0 || total.User < u.User || total.MaxRSS < 40<<20 {
		t.Errorf("in all: %+v %v, after %+v", total, err, u)
	}
}

// What one command has used is not put to the next one's account.
func TestUsageIsOnesOwn(t *testing.T) {
	if e := shell(t, busy).ended(); e.Usage.User < 200*time.Millisecond {
		t.Errorf("busy: %+v", e.Usage)
	}
	for range 8 { // the cgroup comes back from the pool
		if e := shell(t, "exit 0").ended(); e.Usage.User+e.Usage.System > 150*time.Millisecond {
			t.Errorf("idle: %+v", e.Usage)
		}
	}
}
