//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/proctor-mcp/proctor/procmgr/spawn/early"
	"github.com/proctor-mcp/proctor/proctest"
)

// A guard that is stopped is replaced, at the latest before the next command starts.
func TestHostileStopsTheGuard(t *testing.T) {
	t.Parallel()
	users(t, func(t *testing.T, as func(*exec.Cmd)) {
		t.Run("while commands run", func(t *testing.T) {
			s := launchWith(t, as, nil, "stdio", "--kill-domain", "descendants", "--grace", "200ms")
			token := s.startEverything()
			first := s.signalGuard(syscall.SIGSTOP)
			proctest.Await(t, "another guard", func() bool { return s.guard() != first })
			s.killBesideGuard(token)
		})
		t.Run("before a start", func(t *testing.T) {
			s := launchWith(t, as, nil, "stdio", "--kill-domain", "descendants", "--grace", "200ms")
			s.startEverything()
			s.signalGuard(syscall.SIGSTOP)
			token := s.startEverything()
			s.killBesideGuard(token)
		})
	})
}

// A guard that is killed again and again is there again before the next command
// starts.
func TestHostileKillsTheGuardAgainAndAgain(t *testing.T) {
	t.Parallel()
	users(t, func(t *testing.T, as func(*exec.Cmd)) {
		s := launchWith(t, as, nil, "stdio", "--kill-domain", "descendants", "--grace", "200ms")
		s.startEverything()
		for range 12 {
			s.signalGuard(syscall.SIGKILL)
		}
		token := s.startEverything()
		s.killBesideGuard(token)
	})
}

// signalGuard stops or kills the guard and returns when that is so.
func (s *server) signalGuard(sig syscall.Signal) (pid int) {
	s.t.Helper()
	pid = s.guard()
	s.t.Cleanup(func() {
		if slices.Contains(s.guards(), pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	if err := syscall.Kill(pid, sig); err != nil {
		s.t.Fatal(err)
	}
	if sig == syscall.SIGKILL {
		proctest.AwaitEnd(s.t, pid)
		return pid
	}
	proctest.Await(s.t, "each thread of the guard is stopped", func() bool {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		return !slices.ContainsFunc(threads, func(thread string) bool {
			stat, _ := os.ReadFile(thread)
			return !strings.Contains(string(stat), ") T ")
		})
	})
	return pid
}

// killBesideGuard kills the server, which must have a guard, and tests that this
// leaves nothing of a token: no other server that sweeps may be the one that does.
func (s *server) killBesideGuard(token string) {
	s.t.Helper()
	guards := s.guards()
	if err := s.cmd.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	if len(guards) != 1 {
		s.t.Errorf("the guards are %v; the log says %s", guards, s.stderr)
	}
	proctest.AwaitEnd(s.t, guards...)
	if left := proctest.Sleepers(token); len(left) > 0 {
		s.t.Errorf("%d live on", left)
	}
}

// guards returns the living guards of a server, ready or not.
func (s *server) guards() (pids []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.cmd.Process.Pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for child := range strings.FieldsSeq(string(text)) {
			line, _ := os.ReadFile("/proc/" + child + "/cmdline")
			if pid, _ := strconv.Atoi(child); strings.HasPrefix(string(line), early.GuardName+"\x00") && proctest.Alive(pid) {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
