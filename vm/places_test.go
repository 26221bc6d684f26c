//go:build linux

package vm

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/proctor-mcp/proctor/proctest"
)

// refused runs a server that must not start, and returns its error message.
func refused(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Errorf("the server started: %s", out)
	}
	return string(out)
}

// A server that shares its cgroup with the shell that started it refuses limits, and
// kills by cgroup.
func TestASharedCgroup(t *testing.T) {
	users(t, func(t *testing.T, g group) {
		shell := g.command(t, "/bin/sh", "-c", "read line")
		in, err := shell.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := shell.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			in.Close()
			shell.Wait()
		})
		for _, flag := range []string{"--memory-limit=32MiB", "--memory-limit-per-chat=32MiB", "--pids-limit=20", "--pids-limit-per-chat=20"} {
			if said := refused(t, g.command(t, proctor, "stdio", flag)); !strings.Contains(said, "other processes than the server are in "+g.dir) {
				t.Errorf("%s: %s", flag, said)
			}
			g.clean(t)
		}
		domain, facts := g.doctor(t)
		for _, limit := range []string{"limits of memory", "limits of pids"} {
			if !strings.HasPrefix(facts[limit], "no") || !strings.Contains(facts[limit], "other processes") {
				t.Errorf("%s: %s", limit, facts[limit])
			}
		}
		if domain != "cgroup" {
			t.Errorf("kill domain %s, %v", domain, facts)
		}
		g.clean(t)
		killsByCgroup(t, g, g.serve(t))
	})
}

// killsByCgroup starts a process, checks that it has a cgroup of its own, kills it and
// ends the server.
func killsByCgroup(t *testing.T, g group, s *server) {
	t.Helper()
	id, token := s.everything("c")
	for _, pid := range sleepers(token) {
		at := cgroupOf(t, pid)
		if below, ok := strings.CutPrefix(at, g.dir+"/proctor-"); !ok || !strings.Contains(below, "/") {
			t.Errorf("process %d is in %s", pid, at)
		}
	}
	s.kill("c", id)
	noneLeft(t, token)
	s.end()
}

// cgroupOf returns the directory of a process's cgroup.
func cgroupOf(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	return hierarchy + strings.TrimPrefix(strings.TrimSpace(string(text)), "0::")
}

// A server refuses limits whose controller its parent cgroup has not enabled, by name.
func TestMissingControllers(t *testing.T) {
	for name, test := range map[string]struct{ on, memory, pids string }{
		"memory and pids, no cpu": {"+memory +pids", "yes", "yes"},
		"pids":                    {"+pids", "no", "yes"},
		"memory":                  {"+memory", "yes", "no"},
		"none":                    {"", "no", "no"},
	} {
		t.Run(name, func(t *testing.T) {
			users(t, func(t *testing.T, outer group) {
				if err := os.WriteFile(outer.dir+"/cgroup.subtree_control", []byte(test.on), 0); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					_ = os.WriteFile(outer.dir+"/cgroup.subtree_control", []byte(strings.ReplaceAll(test.on, "+", "-")), 0)
				})
				g := delegate(t, outer.dir, outer.uid)
				domain, facts := g.doctor(t)
				if domain != "cgroup" {
					t.Errorf("kill domain %s, %v", domain, facts)
				}
				for limit, want := range map[string]string{"memory": test.memory, "pids": test.pids} {
					got := facts["limits of "+limit]
					if !strings.HasPrefix(got, want) || want == "no" && !strings.Contains(got, "the controller is not delegated to "+g.dir) {
						t.Errorf("limits of %s: %s", limit, got)
					}
					flag := map[string]string{"memory": "--memory-limit=32MiB", "pids": "--pids-limit=20"}[limit]
					if want == "yes" {
						killsByCgroup(t, g, g.serve(t, flag))
					} else if said := refused(t, g.command(t, proctor, "stdio", flag)); !strings.Contains(said, "not delegated") {
						t.Errorf("%s: %s", flag, said)
					}
				}
			})
		})
	}
}

// in returns a proctor that the user of the group is going to start behind a script of
// root, in a mount namespace of its own.
func (g group) in(t *testing.T, script string, args ...string) *exec.Cmd {
	t.Helper()
	user := map[int]string{0: "root", ordinary: "user"}[g.uid]
	cmd := g.command(t, "/bin/sh", "-c", script+` && exec su -p "$0" -c 'exec "$0" "$@"' -- "$@"`, user, proctor)
	cmd.Args = append(cmd.Args, args...)
	cmd.SysProcAttr.Credential = nil
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS
	return cmd
}

// In a container to which no cgroup is delegated, the hierarchy is mounted read-only.
func TestReadOnlyCgroups(t *testing.T) {
	const readOnly = "mount -o remount,bind,ro /sys/fs/cgroup"
	users(t, func(t *testing.T, g group) {
		domain, facts := doctor(t, g.in(t, readOnly, "doctor", "--json"))
		if domain != "descendants" || !strings.Contains(facts["cgroup v2"], "read-only") {
			t.Errorf("kill domain %s, %v", domain, facts)
		}
		if said := refused(t, g.in(t, readOnly, "stdio", "--pids-limit=20")); !strings.Contains(said, "kill domain") {
			t.Error(said)
		}
		s := serve(t, g.in(t, readOnly, "stdio"))
		id, token := s.everything("c")
		s.kill("c", id)
		noneLeft(t, token)
	})
}

// In a cgroup namespace the server's own cgroup looks like the root, but the kernel does
// not treat it as that.
func TestCgroupNamespace(t *testing.T) {
	const namespace = "umount /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup"
	users(t, func(t *testing.T, g group) {
		enter := func(args ...string) *exec.Cmd {
			cmd := g.in(t, namespace, args...)
			cmd.Path, cmd.Args = "/bin/unshare", append([]string{"unshare", "--cgroup"}, cmd.Args...)
			return cmd
		}
		domain, facts := doctor(t, enter("doctor", "--json"))
		if domain != "cgroup" || facts["limits of memory"] != "yes" || facts["limits of pids"] != "yes" {
			t.Errorf("kill domain %s, %v", domain, facts)
		}
		killsByCgroup(t, g, serve(t, enter(append([]string{"stdio"}, together...)...)))
	})
}

// A Proctor that is a command of another one has kill domain and limits as well, and is
// killed with all that it started.
func TestProctorWithinProctor(t *testing.T) {
	users(t, func(t *testing.T, g group) {
		s := g.serve(t, limitFlags...)
		doctor := s.background("c", "exec "+proctor+" doctor --json")
		s.ended("c", doctor)
		r := s.call("c", "process_output", map[string]any{"process_id": doctor})
		for _, want := range []string{`"kill_domain": "cgroup"`, `"limits of memory",\s+"value": "yes"`, `"limits of pids",\s+"value": "yes"`} {
			if !regexp.MustCompile(want).MatchString(r.Output) {
				t.Errorf("no %s in %s", want, r.Output)
			}
		}
		_, token := proctest.Sleeper()
		arguments, err := json.Marshal(map[string]any{"command": everything(token), "wait_ms": 50000})
		if err != nil {
			t.Fatal(err)
		}
		inner := s.call("c", "process_start", map[string]any{
			"command": "exec " + proctor + ` call process_start "$ARGUMENTS"`, "env": map[string]string{"ARGUMENTS": string(arguments)}, "background": true,
		}).ProcessID
		s.stand(token)
		s.kill("c", inner)
		noneLeft(t, token)
	})
}

// A command may divide the cgroup that limits it, as a container engine does. Nothing
// of that is left.
func TestACommandDividesItsCgroup(t *testing.T) {
	const divide = `cd /sys/fs/cgroup$(sed s/^0::// /proc/self/cgroup) && mkdir -p a/b && echo $$ >a/cgroup.procs && echo +pids >cgroup.subtree_control`
	users(t, func(t *testing.T, g group) {
		s := g.serve(t, limitFlags...)
		id := s.background("c", divide)
		if r := s.ended("c", id); r.ExitCode == nil || *r.ExitCode != 0 {
			t.Errorf("%+v\n%s", r, s.call("c", "process_output", map[string]any{"process_id": id}).Output)
		}
		until(t, "no cgroup of a command is left", func() bool {
			left, err := filepath.Glob(g.dir + "/proctor-*/scope-*")
			return err == nil && len(left) == 0
		})
	})
}

// A process that moves to another cgroup is found by its tag.
func TestAProcessLeavesItsCgroup(t *testing.T) {
	const leave = `(setsid sh -c 'echo $$ >"$1/cgroup.procs" && exec env -i /bin/sleep "$2"' leave "$OUT" "$TOKEN" >/dev/null 2>&1 &); exec sleep 1000`
	for name, end := range map[string]func(*server, string){
		"kill":              func(s *server, id string) { s.kill("c", id) },
		"end of server":     func(s *server, _ string) { s.end() },
		"SIGKILL of server": func(s *server, _ string) { s.cmd.Process.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			users(t, func(t *testing.T, g group) {
				out := delegate(t, g.dir, g.uid)
				s := g.serve(t)
				_, token := proctest.Sleeper()
				id := s.call("c", "process_start", map[string]any{
					"command": leave, "env": map[string]string{"OUT": out.dir, "TOKEN": token}, "background": true,
				}).ProcessID
				until(t, "it has left", func() bool {
					return strings.Contains(out.read(t, "cgroup.events"), "populated 1") && len(sleepers(token)) == 1
				})
				s.guard()
				end(s, id)
				noneLeft(t, token)
			})
		})
	}
}

// In the root cgroup the kernel lets a server stay where it is.
func TestTheRootCgroup(t *testing.T) {
	if !*inside {
		t.Skip("it needs a virtual machine: run vm/run.sh")
	}
	g := group{dir: hierarchy}
	before := g.read(t, "cgroup.subtree_control")
	killsByCgroup(t, g, g.serve(t, limitFlags...))
	if folders := g.folders(t); slices.ContainsFunc(folders, func(name string) bool { return strings.HasPrefix(name, "proctor-") }) {
		t.Errorf("left behind: %v", folders)
	}
	if after := g.read(t, "cgroup.subtree_control"); after != before {
		t.Errorf("enabled controllers: %s before, %s after", before, after)
	}
}
