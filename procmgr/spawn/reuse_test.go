//go:build linux

package spawn

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/proctest"
)

// A namespace with few numbers, so that each is given to another process within
// moments.
const fewPids = 400

// TestReusedPids runs TestReusedPidsInside where the same numbers come again and
// again.
func TestReusedPids(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: a pid namespace needs root")
	}
	// Before, pid_max is one for all namespaces: the whole machine would run out.
	var system unix.Utsname
	var major, minor int
	if err := unix.Uname(&system); err != nil {
		t.Fatal(err)
	}
	if fmt.Sscanf(unix.ByteSliceToString(system.Release[:]), "%d.%d", &major, &minor); major < 6 || major == 6 && minor < 14 {
		t.Skip("SKIPPED: a pid_max of its own needs Linux 6.14")
	}
	proctest.Need(t, "mount")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf(`mount -t proc proc /proc && echo %d > /proc/sys/kernel/pid_max || exit 77; exec "$0" "$@"`, fewPids)
	args := []string{"-c", script, self, "-test.run=^TestReusedPidsInside$", "-test.v", "-test.timeout=30m",
		fmt.Sprintf("-inside=%t", true), fmt.Sprintf("-kills=%d", *killsFlag), "-domain=" + *domainFlag, "-without=" + *withoutFlag}
	cmd := exec.Command("sh", args...)
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS, Unshareflags: unix.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if exit, ok := err.(*exec.ExitError); ok && exit.ExitCode() == 77 {
		t.Skipf("SKIPPED: no namespace of its own: %s", out)
	}
	if err != nil || !strings.Contains(string(out), "foreign processes") {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Log(string(out))
}

// TestReusedPidsInside signals commands at every moment of their lives while
// foreign processes come and go under the same numbers. None of those may be
// signalled.
func TestReusedPidsInside(t *testing.T) {
	if !*insideFlag {
		t.Skip("runs within TestReusedPids")
	}
	stop := make(chan struct{})
	var foreign, reused atomic.Int64
	var wg sync.WaitGroup
	var used sync.Map // pids of commands
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				var err error
				cmd := exec.Command("sleep", fmt.Sprintf("0.00%d", rand.IntN(9)))
				start := func() { err = cmd.Start() }
				if host.adoption.lists {
					start()
				} else {
					host.Exclude(start) // it could be taken for an orphan
				}
				if err != nil {
					continue // no numbers left for a moment
				}
				if _, ok := used.Load(cmd.Process.Pid); ok {
					reused.Add(1)
				}
				if err := cmd.Wait(); err != nil {
					t.Errorf("a foreign process: %v", err)
				}
				foreign.Add(1)
			}
		})
	}
	kills, spawner := 0, New(Options{Host: host})
	defer spawner.Wait()
	scripts := []string{"true", "sleep 0.002 & exit", "setsid sleep 0.002 & exit", "(setsid sleep 0.003 &); sleep 0.001", "sleep 0.001 | sleep 0.001", "exec sleep 0.002"}
	for kills < *killsFlag && !t.Failed() {
		r, err := begin(t, spawner, Command{Argv: []string{"sh", "-c", scripts[rand.IntN(len(scripts))]}, Dir: "/"})
		if err != nil {
			continue
		}
		used.Store(r.Pid(), true)
		for range 20 { // before and after every step of its end
			_ = r.Signal([]Signal{SignalKill, SignalTerminate, SignalContinue, SignalUser1}[rand.IntN(4)])
			kills++
			if _, err := r.Members(); err != nil && kills%1000 == 0 {
				t.Logf("cannot see: %v", err)
			}
			if rand.IntN(4) == 0 { // a moment of its life, at random
				<-time.After(time.Duration(rand.IntN(1000)) * time.Microsecond) // clock: a random moment
			}
		}
		_ = r.Signal(SignalKill)
		r.gone()
		r.Release()
	}
	close(stop)
	wg.Wait()
	t.Logf("%d signals to commands, %d foreign processes, %d of them under the number of a command", kills, foreign.Load(), reused.Load())
	if reused.Load() == 0 {
		t.Error("no number was used again")
	}
}
