//go:build linux

package vm

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/proctor-mcp/proctor/procmgr/spawn/early"
)

// limitFlags are all limits at once, so wide that nothing reaches them.
var limitFlags = []string{"--memory-limit", "200MiB", "--memory-limit-per-chat", "400MiB", "--pids-limit", "100", "--pids-limit-per-chat", "200"}

// withAndWithout runs a test with flags that set no limits, limits of pids, and all.
func withAndWithout(t *testing.T, test func(t *testing.T, g group, flags ...string)) {
	for name, flags := range map[string][]string{"no limits": nil, "pids alone": limitFlags[4:], "all limits": limitFlags} {
		t.Run(name, func(t *testing.T) {
			users(t, func(t *testing.T, g group) { test(t, g, flags...) })
		})
	}
}

func TestDoctor(t *testing.T) {
	users(t, func(t *testing.T, g group) {
		domain, facts := g.doctor(t)
		if domain != "cgroup" || facts["limits of memory"] != "yes" || facts["limits of pids"] != "yes" {
			t.Errorf("kill domain %s, %v", domain, facts)
		}
	})
}

func TestKillReachesEverything(t *testing.T) {
	withAndWithout(t, func(t *testing.T, g group, flags ...string) {
		s := g.serve(t, flags...)
		quiet, quietToken := s.everything("quiet")
		id, token := s.everything("c")
		s.kill("c", id)
		noneLeft(t, token)
		if r := s.ended("c", id); r.Signal == nil || *r.Signal != "SIGKILL" {
			t.Errorf("got %+v", r)
		}
		if n := len(sleepers(quietToken)); n != 6 {
			t.Errorf("%d of 6 processes of another chat live", n)
		}
		s.kill("quiet", quiet)
		noneLeft(t, quietToken)
	})
}

func TestNothingSurvivesTheServer(t *testing.T) {
	for name, end := range map[string]func(*server){
		"TERM":         func(s *server) { s.cmd.Process.Signal(syscall.SIGTERM) },
		"KILL":         func(s *server) { s.cmd.Process.Kill() },
		"end of input": func(s *server) { s.in.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			withAndWithout(t, func(t *testing.T, g group, flags ...string) {
				s := g.serve(t, append(flags, "--grace", "200ms")...)
				_, token := s.everything("c")
				s.guard()
				end(s)
				noneLeft(t, token)
				s.wait()
			})
		})
	}
}

// guard waits until the server's guard watches, and returns its pid.
func (s *server) guard() (pid int) {
	s.t.Helper()
	until(s.t, "a guard", func() bool {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.cmd.Process.Pid))
		for _, list := range lists {
			text, _ := os.ReadFile(list)
			for child := range strings.FieldsSeq(string(text)) {
				line, _ := os.ReadFile("/proc/" + child + "/cmdline")
				call, _ := os.ReadFile("/proc/" + child + "/syscall")
				if bytes.HasPrefix(line, []byte(early.GuardName)) && bytes.HasPrefix(call, []byte(strconv.Itoa(syscall.SYS_PPOLL)+" ")) {
					pid, _ = strconv.Atoi(child)
					return true
				}
			}
		}
		return false
	})
	return pid
}

// killWithGuard ends a server and its guard at once.
func (s *server) killWithGuard() {
	s.t.Helper()
	guard := s.guard()
	s.cmd.Process.Signal(syscall.SIGSTOP) // it starts no other guard
	if err := syscall.Kill(guard, syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	s.cmd.Process.Kill()
	s.wait()
}

// The next server ends what is left when a server and its guard are killed at once.
func TestTheNextServerSweeps(t *testing.T) {
	users(t, func(t *testing.T, g group) {
		s := g.serve(t)
		_, token := s.everything("c")
		s.killWithGuard()
		if len(sleepers(token)) == 0 {
			t.Fatal("nothing is left to sweep")
		}
		next := g.serve(t)
		next.call("c", "process_list", map[string]any{})
		noneLeft(t, token)
	})
}

// It also disables the controllers that were left enabled, for nothing can start in its
// cgroups with them. The kernel lets it in after a server that limited pids alone, once
// nothing of that is left.
func TestTheNextServerDisablesControllers(t *testing.T) {
	users(t, func(t *testing.T, g group) {
		s := g.serve(t, limitFlags[4:]...)
		_, token := s.everything("c")
		s.killWithGuard()
		g.kill(t)
		noneLeft(t, token)
		until(t, "an empty cgroup", func() bool { return strings.Contains(g.read(t, "cgroup.events"), "populated 0") })
		if len(g.folders(t)) == 0 || g.read(t, "cgroup.subtree_control") != "pids" {
			t.Fatal("nothing is left")
		}
		killsByCgroup(t, g, g.serve(t))
	})
}
