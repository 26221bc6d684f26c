//go:build linux

package spawn

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
	"github.com/proctor-mcp/proctor/proctest"
)

// shape is a way in which commands leave processes about. In its script SLEEP is
// a program that sleeps and can be recognised, whatever became of its
// environment, session and parents.
type shape struct {
	script  string
	sleeps  int  // how many of them there are
	escapes bool // some leave the process group
	exits   bool // the command ends by itself
}

func shapes() map[string]shape {
	return map[string]shape{
		"single":                    {script: `exec SLEEP`, sleeps: 1},
		"pipeline":                  {script: `SLEEP | SLEEP | cat`, sleeps: 2},
		"subshells":                 {script: `(SLEEP; :) & (SLEEP; :) & wait`, sleeps: 2},
		"setsid":                    {script: `setsid SLEEP & wait`, sleeps: 1, escapes: true},
		"double fork":               {script: `(setsid sh -c 'SLEEP & SLEEP & wait' &) ; sleep 1000`, sleeps: 2, escapes: true},
		"daemon":                    {script: `(setsid sh -c 'SLEEP & SLEEP & wait' &) ; exit 3`, sleeps: 2, escapes: true, exits: true},
		"daemon that closes":        {script: `(setsid sh -c 'SLEEP & SLEEP & wait' >/dev/null 2>&1 &) ; exit 3`, sleeps: 2, escapes: true, exits: true},
		"in the group, left":        {script: `SLEEP & SLEEP >/dev/null 2>&1 & exit 3`, sleeps: 2, exits: true},
		"environment wiped":         {script: `(env -i setsid sh -c 'setsid SLEEP & SLEEP' &) ; sleep 1000`, sleeps: 2, escapes: true},
		"environment wiped, left":   {script: `(env -i setsid sh -c 'setsid SLEEP & SLEEP' &) ; exit 3`, sleeps: 2, escapes: true, exits: true},
		"ignores SIGTERM":           {script: `trap '' TERM; SLEEP & (setsid SLEEP &); wait`, sleeps: 2, escapes: true},
		"stops itself":              {script: `SLEEP & (setsid SLEEP &); kill -STOP $$`, sleeps: 2, escapes: true},
		"fifty":                     {script: `for i in 1 2 3 4 5; do (for j in 1 2 3 4 5; do SLEEP & done; for j in 1 2 3 4 5; do (setsid SLEEP &) ; done; wait) & done; wait`, sleeps: 50, escapes: true},
		"forks while it is killed":  {script: `i=0; while [ $i -lt 300 ]; do i=$((i+1)); SLEEP & done; wait`, sleeps: 5},
		"leaves while it is killed": {script: `i=0; while [ $i -lt 300 ]; do i=$((i+1)); (setsid SLEEP &) ; done; sleep 1000`, sleeps: 5, escapes: true},
		"floods":                    {script: `yes & (setsid yes & setsid SLEEP &) ; wait`, sleeps: 1, escapes: true},
	}
}

// startShape starts one and waits until all of it runs.
func startShape(t *testing.T, s shape) (*run, string) {
	t.Helper()
	command, token := proctest.Sleeper()
	r := shell(t, strings.ReplaceAll(s.script, "SLEEP", command))
	proctest.Within(t, "the shape stands", func() bool { return len(proctest.Sleepers(token)) >= s.sleeps })
	return r, token
}

func eachShape(t *testing.T, test func(t *testing.T, s shape)) {
	for _, name := range slices.Sorted(mapsKeys(shapes())) {
		s := shapes()[name]
		t.Run(name, func(t *testing.T) {
			if s.escapes && host.KillDomain() == KillDomainProcessGroup {
				t.Skip("the process group does not hold it")
			}
			if *withoutFlag == "tags" && host.KillDomain() != KillDomainCgroup && strings.Contains(s.script, "env -i") {
				t.Skip("the environment marker is gone and there are no tags")
			}
			test(t, s)
		})
	}
}

func mapsKeys(m map[string]shape) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func TestKillEndsEveryShape(t *testing.T) {
	eachShape(t, func(t *testing.T, s shape) {
		var times []time.Duration
		for range *trialsFlag {
			times = append(times, killShape(t, s))
		}
		slices.Sort(times)
		t.Logf("gone after %v at most, half of them after %v", times[len(times)-1], times[len(times)/2])
	})
}

// killShape starts a shape, kills it and returns how long that took.
func killShape(t *testing.T, s shape) (took time.Duration) {
	t.Run("", func(t *testing.T) {
		r, token := startShape(t, s)
		if s.exits {
			if e := r.ended(); e.Code != 3 {
				t.Errorf("got %+v", e)
			}
		}
		begin := time.Now()
		if err := r.Signal(SignalKill); err != nil {
			t.Fatal(err)
		}
		r.gone()
		took = time.Since(begin) // clock: a figure
		if left := proctest.Sleepers(token); len(left) > 0 {
			t.Errorf("said to be gone, and %d live", len(left))
		}
		if !s.exits {
			if e := r.ended(); e.Signal != "SIGKILL" {
				t.Errorf("got %+v", e)
			}
		}
	})
	return took
}

// Terminate reaches all of it, but what ignores it.
func TestTerminateReachesEveryShape(t *testing.T) {
	eachShape(t, func(t *testing.T, s shape) {
		if strings.Contains(s.script, "300") || strings.Contains(s.script, "trap") {
			t.Skip("more come while it is sent, or ignore it")
		}
		r, token := startShape(t, s)
		if err := r.Signal(SignalTerminate); err != nil {
			t.Fatal(err)
		}
		r.gone()
		if left := proctest.Sleepers(token); len(left) > 0 {
			t.Errorf("%d live", len(left))
		}
	})
}

// A parent that dies of SIGTERM takes its child out of a look that has passed the
// list of orphans: the next look must have it.
func TestTerminateReachesTheChildOfOneThatDies(t *testing.T) {
	if host.KillDomain() == KillDomainProcessGroup {
		t.Skip("the process group does not hold it")
	}
	cue, die := proctest.Cue(t)
	r, token := startShape(t, shape{script: `trap 'read x < "` + cue + `"; exit' TERM; setsid SLEEP & wait`, sleeps: 1})
	looked := sync.OnceFunc(func() {
		die()
		proctest.AwaitEnd(t, r.Pid())
	})
	host.adoption.testHookLook.Store(&looked)
	err := r.Signal(SignalTerminate)
	host.adoption.testHookLook.Store(nil)
	if err != nil {
		t.Fatal(err)
	}
	r.gone()
	if left := proctest.Sleepers(token); len(left) > 0 {
		t.Errorf("%d live", len(left))
	}
}

func TestMembersAreEverything(t *testing.T) {
	eachShape(t, func(t *testing.T, s shape) {
		r, token := startShape(t, s)
		if s.exits {
			r.ended()
		}
		if strings.Contains(s.script, "300") {
			return
		}
		var list []Member
		proctest.Within(t, "all are known", func() (ok bool) {
			var err error
			list, err = r.Members()
			return err == nil
		})
		known := map[int]bool{}
		for _, m := range list {
			known[m.Pid] = true
			if m.Command == "" || m.State == "" || m.State == "Z" {
				t.Errorf("got %+v", m)
			}
		}
		for _, pid := range proctest.Sleepers(token) {
			if !known[pid] {
				t.Errorf("%d is not among %v", pid, list)
			}
		}
	})
}

// What outlives the command is reported, its output is read, and its end is seen.
func TestDescendantsAreFollowedToTheirEnd(t *testing.T) {
	cue, give := proctest.Cue(t)
	r := shell(t, fmt.Sprintf(`(setsid sh -c 'read x < %s; echo late' &) ; exit 0`, cue))
	r.ended()
	if host.KillDomain() != KillDomainProcessGroup {
		if n := members(r.Process); n < 1 {
			t.Errorf("%d members", n)
		}
		select {
		case <-r.nothing:
			t.Error("gone")
		default:
		}
	}
	give()
	r.await("late")
	r.gone()
	if n := members(r.Process); n != 0 {
		t.Errorf("%d members", n)
	}
}

// Another's descendants are left alone.
func TestKillLeavesOthersAlone(t *testing.T) {
	daemon := shapes()["daemon"]
	if host.KillDomain() == KillDomainProcessGroup {
		daemon = shapes()["in the group, left"]
	}
	other, token := startShape(t, daemon)
	other.ended()
	foreign := unshareChild(t)
	eachShape(t, func(t *testing.T, s shape) {
		r, _ := startShape(t, s)
		if err := r.Signal(SignalKill); err != nil {
			t.Fatal(err)
		}
		r.gone()
	})
	if n := len(proctest.Sleepers(token)); n != 2 {
		t.Errorf("%d of the other's two live", n)
	}
	if !proctest.Alive(foreign) {
		t.Error("a child that is no command was killed")
	}
}

// unshareChild starts a sleeper that is not the spawner's.
func unshareChild(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

func TestSignalsByName(t *testing.T) {
	r := shell(t, `for s in INT HUP QUIT USR1 USR2; do trap "echo got-$s" $s; done; echo ready; while :; do sleep 0.01; done`)
	r.await("ready")
	for sig, name := range map[Signal]string{SignalInterrupt: "INT", SignalHangup: "HUP", SignalQuit: "QUIT", SignalUser1: "USR1", SignalUser2: "USR2"} {
		if err := r.Signal(sig); err != nil {
			t.Fatal(err)
		}
		r.await("got-" + name)
	}
}

func TestStopAndContinue(t *testing.T) {
	r, token := startShape(t, shape{script: `(setsid SLEEP &) ; exec SLEEP`, sleeps: 2})
	all := proctest.Sleepers(token)
	if host.KillDomain() == KillDomainProcessGroup {
		all = []int{r.Pid()}
	}
	stopped := func() bool {
		return !slices.ContainsFunc(all, func(pid int) bool {
			s, err := procfs.ReadStat(pid)
			return err != nil || s.State != 'T'
		})
	}
	if err := r.Signal(SignalStop); err != nil {
		t.Fatal(err)
	}
	proctest.Within(t, "all stopped", stopped)
	proctest.Within(t, "suspended", r.Suspended)
	if err := r.Signal(SignalContinue); err != nil {
		t.Fatal(err)
	}
	proctest.Within(t, "going on", func() bool { return !r.Suspended() && !stopped() })
	for _, pid := range proctest.Sleepers(token) { // where the domain is the group, one is left
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

// carry counts the living processes with a token in their arguments.
func carry(token string) (n int) {
	_ = procfs.Pids(func(pid int) {
		if line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); strings.Contains(string(line), token) && proctest.Alive(pid) {
			n++
		}
	})
	return n
}

// A chain of processes that fork and die as fast as they can, each in a session
// of its own, is never where one looks. A cgroup holds it; else it is hunted, and
// what cannot be caught is named.
func TestKillHuntsAChain(t *testing.T) {
	if host.KillDomain() == KillDomainProcessGroup {
		t.Skip("the process group does not hold it")
	}
	for range *trialsFlag {
		t.Run("", func(t *testing.T) {
			// Should it get away, it ends at the cue, and at the latest by itself.
			_, token := proctest.Sleeper()
			cue := filepath.Join(t.TempDir(), "end")
			r := shell(t, `exec perl -MPOSIX -e '# `+token+`
				$|=1; print "ready\n"; $n=0; while ($n++ < 300000 && !-e "`+cue+`") { my $p = fork; if (!defined $p) { next } if ($p) { POSIX::_exit(0) } POSIX::setsid() }'`)
			defer func() {
				if err := os.WriteFile(cue, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				r.gone()
				proctest.Within(t, "the chain to end", func() bool { return carry(token) == 0 })
			}()
			r.await("ready")
			r.ended()
			begin := time.Now()
			if err := r.Signal(SignalKill); err != nil && err != ErrNotRunning {
				t.Fatal(err)
			}
			var gaveUp <-chan time.Time
			if host.KillDomain() != KillDomainCgroup { // which must hold it
				gaveUp = time.After(killTime + 2*time.Second) // clock: a hunt may be in vain
			}
			select {
			case <-r.nothing:
				t.Logf("gone after %v", time.Since(begin)) // clock: a figure
				if n := carry(token); n > 0 {
					t.Errorf("said to be gone, and %d live", n)
				}
			case <-gaveUp:
				left, err := r.Members()
				t.Logf("not gone: %v %v", left, err)
			}
		})
	}
}

// What the kernel does not let go is named until it is: a frozen process (cgroups
// version 1) is in state D, and SIGKILL waits for its thaw.
func TestAProcessInStateDIsASurvivor(t *testing.T) {
	freezer, err := os.MkdirTemp("/sys/fs/cgroup/freezer", "proctor-test-")
	if err != nil {
		t.Skip("SKIPPED: no freezer of cgroups version 1:", err)
	}
	write := func(name, value string) {
		if err := os.WriteFile(filepath.Join(freezer, name), []byte(value), 0); err != nil {
			t.Fatal(err)
		}
	}
	thaw := sync.OnceFunc(func() { write("freezer.state", "THAWED") })
	t.Cleanup(func() {
		thaw()
		proctest.Within(t, "the freezer is empty", func() bool { return os.Remove(freezer) == nil })
	})
	r, token := startShape(t, shape{script: `SLEEP & wait`, sleeps: 1})
	frozen := proctest.Sleepers(token)[0]
	write("cgroup.procs", fmt.Sprint(frozen))
	write("freezer.state", "FROZEN")
	state := func(m Member) bool { return m.Pid == frozen && m.State == "D" }
	proctest.Within(t, "frozen", func() bool {
		list, _ := r.Members()
		return slices.ContainsFunc(list, state)
	})
	if err := r.Signal(SignalKill); err != nil {
		t.Fatal(err)
	}
	if e := r.ended(); e.Signal != "SIGKILL" {
		t.Errorf("got %+v", e)
	}
	if list, err := r.Members(); err != nil || len(list) != 1 || !state(list[0]) {
		t.Errorf("survivors %v, %v", list, err)
	}
	select {
	case <-r.nothing:
		t.Error("said to be gone")
	default:
	}
	thaw()
	r.gone()
}

// A process whose main thread has ended shows as a zombie, and lives.
func TestAZombieWithThreadsLives(t *testing.T) {
	if host.KillDomain() == KillDomainProcessGroup || *withoutFlag == "tags" && host.KillDomain() != KillDomainCgroup {
		t.Skip("nothing holds it: its environment is gone with its main thread")
	}
	r := shell(t, "(setsid "+strings.TrimPrefix(proctest.Child("headless"), "exec ")+" &) ; exit 3")
	r.await("\n")
	var pid int
	fmt.Sscan(r.text(), &pid)
	proctest.Within(t, "its main thread has ended", func() bool {
		s, err := procfs.ReadStat(pid)
		return err == nil && s.State == 'Z'
	})
	r.ended()
	if n := members(r.Process); n != 1 {
		t.Errorf("%d members", n)
	}
	if err := r.Signal(SignalKill); err != nil {
		t.Fatal(err)
	}
	r.gone()
	if _, err := os.Stat(fmt.Sprintf("/proc/%d/task", pid)); err == nil {
		t.Error("it lives")
	}
}

// A command that kills its own cgroup takes nobody with it.
func TestASpoiltCgroupIsNotUsedAgain(t *testing.T) {
	if host.KillDomain() != KillDomainCgroup {
		t.Skip("there are no cgroups")
	}
	r := shell(t, `g=$(sed -n s/^0:://p /proc/self/cgroup); for d in /sys/fs/cgroup /sys/fs/cgroup/unified; do echo 1 > $d$g/cgroup.kill; done 2>/dev/null; sleep 1000`)
	if e := r.ended(); e.Signal != "SIGKILL" {
		t.Fatalf("got %+v", e)
	}
	r.gone()
	for range 10 {
		if e := shell(t, "exit 5").ended(); e.Code != 5 {
			t.Fatalf("the next one: %+v", e)
		}
	}
}

// Starting goes on when somebody removes the cgroups.
func TestCgroupsThatAreRemoved(t *testing.T) {
	if host.KillDomain() != KillDomainCgroup {
		t.Skip("there are no cgroups")
	}
	shell(t, "exit 0").ended()
	procfs.RemoveCgroup(host.choice.cgroups.Dir())
	for range 40 {
		if e := shell(t, "exit 5").ended(); e.Code != 5 {
			t.Fatalf("got %+v", e)
		}
	}
	r, _ := startShape(t, shapes()["setsid"])
	if cgroupOf(r) == nil {
		t.Error("cgroups are not used any more")
	}
}
