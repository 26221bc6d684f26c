//go:build linux

// Package vm tests Proctor on a real cgroup v2, as root and as an ordinary user to
// whom a cgroup is delegated. Most machines on which tests run offer neither, so
// the tests run in a virtual machine that run.sh boots, and are skipped elsewhere.
package vm

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proctor-mcp/proctor/proctest"
)

// inside is set in the virtual machine, where nobody else uses the cgroups.
var inside = flag.Bool("vm", false, "run in the virtual machine of run.sh")

const (
	hierarchy = "/sys/fs/cgroup"
	proctor   = "/bin/proctor"
	ordinary  = 1000 // the user's id
)

func TestMain(m *testing.M) { proctest.Main(m, nil) }

// users runs a test as root and as an ordinary user, each with a cgroup that was
// delegated to it.
func users(t *testing.T, test func(t *testing.T, g group)) {
	if !*inside {
		t.Skip("it needs a virtual machine: run vm/run.sh")
	}
	for name, uid := range map[string]int{"root": 0, "ordinary user": ordinary} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, delegate(t, hierarchy, uid))
		})
	}
}

// group is a cgroup that was delegated to a user.
type group struct {
	dir string
	uid int
}

// delegate makes a cgroup below another and gives it to a user, as systemd does for
// Delegate=yes. When the test ends the cgroup must be as it was: no process in it,
// no cgroup below it, no controller enabled.
func delegate(t *testing.T, parent string, uid int) group {
	t.Helper()
	g := group{filepath.Join(parent, strings.NewReplacer("/", "-", " ", "-").Replace(t.Name())), uid}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"} {
		if err := os.Chown(filepath.Join(g.dir, file), uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			g.kill(t) // whatever the test has not come to end
		}
		until(t, "nothing is left in "+g.dir, func() bool { return strings.Contains(g.read(t, "cgroup.events"), "populated 0") })
		g.clean(t)
		if err := removeTree(g.dir); err != nil {
			t.Error(err)
		}
	})
	return g
}

// kill kills every process in the group and below.
func (g group) kill(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(g.dir, "cgroup.kill"), []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
}

// clean fails the test if a cgroup is left below a group, or a controller enabled.
func (g group) clean(t *testing.T) {
	t.Helper()
	for _, below := range g.folders(t) {
		t.Errorf("the cgroup %s is left behind in %s", below, g.dir)
	}
	if on := g.read(t, "cgroup.subtree_control"); on != "" {
		t.Errorf("the controllers %s are left enabled in %s", on, g.dir)
	}
}

// folders returns the names of the cgroups below a group.
func (g group) folders(t *testing.T) (names []string) {
	t.Helper()
	list, err := os.ReadDir(g.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

func (g group) read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(g.dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func removeTree(dir string) error {
	list, err := os.ReadDir(dir)
	for _, e := range list {
		if e.IsDir() {
			err = errors.Join(err, removeTree(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(err, os.Remove(dir))
}

// until polls until ok holds. It is for what the kernel does not announce. It fails the
// test a minute before the time of the test program is over.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end, bounded := t.Deadline()
	for pause := time.NewTicker(10 * time.Millisecond); !ok(); <-pause.C { // clock: a gentle poll
		if bounded && time.Until(end) < time.Minute { // clock: the test program's own
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// command prepares a program that starts in the group, as its user.
func (g group) command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	dir, err := os.Open(g.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	home := t.TempDir()
	for dir := home; dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chown(dir, g.uid, g.uid); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = home
	cmd.Env = []string{"PATH=/bin", "HOME=" + home}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid: true, UseCgroupFD: true, CgroupFD: int(dir.Fd()),
		Credential: &syscall.Credential{Uid: uint32(g.uid), Gid: uint32(g.uid)},
	}
	return cmd
}

// run runs a program to its end, and returns its output.
func (g group) run(t *testing.T, name string, args ...string) (output string, err error) {
	t.Helper()
	out, err := g.command(t, name, args...).CombinedOutput()
	return string(out), err
}

// doctor runs proctor doctor. It returns the kill domain, and each fact by its name.
func (g group) doctor(t *testing.T) (domain string, facts map[string]string) {
	t.Helper()
	return doctor(t, g.command(t, proctor, "doctor", "--json"))
}

func doctor(t *testing.T, cmd *exec.Cmd) (domain string, facts map[string]string) {
	t.Helper()
	var report struct {
		KillDomain string `json:"kill_domain"`
		Facts      []struct{ Name, Value, Detail string }
	}
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &report)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	facts = map[string]string{}
	for _, f := range report.Facts {
		facts[f.Name] = strings.TrimSpace(f.Value + " " + f.Detail)
	}
	return report.KillDomain, facts
}
