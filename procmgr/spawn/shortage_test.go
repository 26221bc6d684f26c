//go:build linux

package spawn

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/proctest"
)

// What cannot have a cgroup of its own runs and is ended without one.
func TestNoMoreCgroups(t *testing.T) {
	if host.KillDomain() != KillDomainCgroup {
		t.Skip("there are no cgroups")
	}
	most := host.choice.cgroups.Dir() + "/cgroup.max.descendants"
	if err := os.WriteFile(most, []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	defer os.WriteFile(most, []byte("max"), 0)
	s := New(Options{Host: host})
	sleep, token := proctest.Sleeper()
	var all []*run
	without := 0
	for range 40 {
		r, err := begin(t, s, Command{Argv: []string{"sh", "-c", "(setsid " + sleep + " &); echo ready; exec " + sleep}, Dir: "/"})
		if err != nil {
			t.Fatal(err)
		}
		if cgroupOf(r) == nil {
			without++
		}
		all = append(all, r)
	}
	if without == 0 {
		t.Error("all have a cgroup")
	}
	for _, r := range all {
		r.await("ready")
		r.Signal(SignalKill)
		r.gone()
	}
	s.Wait()
	if left := proctest.Sleepers(token); len(left) > 0 {
		t.Errorf("%d live on", len(left))
	}
}

// Starts end before the descriptors do, and an orphan is then watched without one.
func TestDescriptorsAreKeptBack(t *testing.T) {
	if host.KillDomain() == KillDomainProcessGroup {
		t.Skip("the process group does not hold the orphans")
	}
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	const few = 160
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: few, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &before)
	s := New(Options{Host: host})
	sleep, token := proctest.Sleeper()
	var all []*run
	var refused error
	for refused == nil && len(all) < few {
		var r *run
		// Each leaves an orphan, which is watched while it holds the output.
		if r, refused = begin(t, s, Command{Argv: []string{"sh", "-c", "setsid " + sleep + " &"}, Dir: "/"}); refused == nil {
			all = append(all, r)
		}
	}
	if refused == nil || !strings.Contains(refused.Error(), unix.EMFILE.Error()) {
		t.Errorf("got %v", refused)
	}
	for _, r := range all {
		r.ended()
	}
	if open, err := os.ReadDir("/proc/self/fd"); err != nil || len(open) > few-few/8 {
		t.Errorf("%d descriptors are open, %v", len(open), err)
	}
	for _, r := range all {
		r.Signal(SignalKill)
		r.gone()
	}
	s.Wait()
	if left := proctest.Sleepers(token); len(left) > 0 {
		t.Errorf("%d live on", len(left))
	}
}
