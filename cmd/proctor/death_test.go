//go:build linux

package main

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/proctor-mcp/proctor/procmgr/spawn/early"
	"github.com/proctor-mcp/proctor/proctest"
)

// How often a server is ended in each way.
var trials = flag.Int("trials", 2, "trials of the tests that end servers")

// users are who runs a server: this user and, when that is root, an ordinary one,
// to whom the kernel gives no cgroups.
func users(t *testing.T, test func(t *testing.T, as func(*exec.Cmd))) {
	t.Run("as this user", func(t *testing.T) { test(t, func(*exec.Cmd) {}) })
	if os.Getuid() == 0 {
		t.Run("as an ordinary user", func(t *testing.T) {
			id := uint32(proctest.OtherUser(t))
			test(t, func(cmd *exec.Cmd) {
				if cmd.SysProcAttr == nil {
					cmd.SysProcAttr = &syscall.SysProcAttr{}
				}
				cmd.SysProcAttr.Credential = &syscall.Credential{Uid: id, Gid: id}
				cmd.Dir = "/"
			})
		})
	}
}

// everything is a command that leaves processes behind in every way: in its
// group, out of its session, orphaned, without their environment.
func everything() (command, token string, count int) {
	sleep, token := proctest.Sleeper()
	return strings.ReplaceAll(`trap '' TERM; SLEEP & (setsid sh -c 'SLEEP & SLEEP' &); (env -i setsid sh -c 'setsid SLEEP & SLEEP' >/dev/null 2>&1 &); SLEEP`, "SLEEP", sleep), token, 6
}

// startEverything starts one and waits until it stands.
func (s *server) startEverything() (token string) {
	s.t.Helper()
	proctest.Need(s.t, "setsid")
	command, token, count := everything()
	s.call("process_start", `{"command":`+quoted(command)+`,"background":true}`)
	proctest.AwaitSleepers(s.t, token, count)
	return token
}

func (s *server) noneLeft(token string) {
	s.t.Helper()
	proctest.AwaitNoSleepers(s.t, token)
}

// TestNothingSurvivesTheServer ends it in every way that it can notice.
func TestNothingSurvivesTheServer(t *testing.T) {
	users(t, func(t *testing.T, as func(*exec.Cmd)) {
		for name, end := range map[string]func(*server){
			"TERM":         func(s *server) { s.cmd.Process.Signal(syscall.SIGTERM) },
			"INT":          func(s *server) { s.cmd.Process.Signal(syscall.SIGINT) },
			"HUP":          func(s *server) { s.cmd.Process.Signal(syscall.SIGHUP) },
			"end of input": func(s *server) { s.in.Close() },
			"closed pipe":  func(s *server) { s.stdout.Close() },
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				for range *trials {
					s := launchWith(t, as, nil, "stdio", "--grace", "200ms")
					token := s.startEverything()
					end(s)
					s.noneLeft(token)
				}
			})
		}
	})
}

// TestNothingSurvivesAKilledServer kills it, alone and with its process group.
func TestNothingSurvivesAKilledServer(t *testing.T) {
	users(t, func(t *testing.T, as func(*exec.Cmd)) {
		for name, pid := range map[string]func(*server) int{
			"alone":          func(s *server) int { return s.cmd.Process.Pid },
			"with its group": func(s *server) int { return -s.cmd.Process.Pid },
		} {
			t.Run(name, func(t *testing.T) {
				for range *trials {
					s := launchWith(t, func(cmd *exec.Cmd) {
						as(cmd)
						ownGroup(cmd)
					}, nil, "stdio")
					token := s.startEverything()
					s.guard()
					if err := syscall.Kill(pid(s), syscall.SIGKILL); err != nil {
						t.Fatal(err)
					}
					s.noneLeft(token)
				}
			})
		}
	})
}

func ownGroup(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
}

// TestNothingSurvivesAServerThatIsKilledWhileItStarts kills it at random moments
// of a storm of starts.
func TestNothingSurvivesAServerThatIsKilledWhileItStarts(t *testing.T) {
	users(t, func(t *testing.T, as func(*exec.Cmd)) {
		for range *trials {
			s := launchWith(t, as, nil, "stdio")
			first := s.startEverything()
			s.guard()
			command, token, _ := everything()
			for id := range 20 {
				fmt.Fprintf(s.in, `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"process_start","arguments":{"command":%s,"background":true}}}`+"\n", 1000+id, quoted(command))
			}
			for range rand.IntN(20) {
				if _, err := s.out.ReadBytes('\n'); err != nil {
					t.Fatal(err)
				}
			}
			s.cmd.Process.Kill()
			s.noneLeft(first)
			s.noneLeft(token)
		}
	})
}

// guard waits for the server's guard and returns its pid.
func (s *server) guard() (pid int) {
	s.t.Helper()
	proctest.Await(s.t, "a guard", func() bool {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.cmd.Process.Pid))
		for _, list := range lists {
			text, _ := os.ReadFile(list)
			for _, child := range strings.Fields(string(text)) {
				line, _ := os.ReadFile("/proc/" + child + "/cmdline")
				if pid, _ = strconv.Atoi(child); bytes.HasPrefix(line, []byte(early.GuardName)) && ready(pid) {
					return true
				}
			}
		}
		return false
	})
	return pid
}

// ready reports whether a guard waits for the end of its server, in ppoll(2). An
// ordinary user cannot see the call, only that it sleeps.
func ready(pid int) bool {
	if os.Getuid() != 0 {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return bytes.Contains(stat, []byte(") S "))
	}
	call, _ := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", pid))
	return bytes.HasPrefix(call, []byte(strconv.Itoa(syscall.SYS_PPOLL)+" "))
}

func TestGuardIsSmallAndHoldsNothing(t *testing.T) {
	users(t, testGuard)
}

func testGuard(t *testing.T, as func(*exec.Cmd)) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root can look into a guard, which is the point")
	}
	s := launchWith(t, as, []string{"SECRET=1"}, "stdio")
	s.call("process_start", `{"command":"sleep 100","background":true}`)
	guard := fmt.Sprintf("/proc/%d/", s.guard())
	rollup, err := os.ReadFile(guard + "smaps_rollup")
	if err != nil {
		t.Fatal(err)
	}
	private := 0
	for line := range strings.Lines(string(rollup)) {
		var kib int
		if name, value, _ := strings.Cut(line, ":"); strings.HasPrefix(name, "Private_") {
			fmt.Sscan(value, &kib)
			private += kib
		}
	}
	t.Logf("private memory %d KiB", private)
	if proctest.Bounds() && (private == 0 || private > 1024) {
		t.Errorf("private memory %d KiB, want at most 1024", private)
	}
	if env, _ := os.ReadFile(guard + "environ"); len(env) > 0 {
		t.Errorf("environment %q", env)
	}
	if info, err := os.Stat(guard + "environ"); err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("the guard is dumpable: %v", err) // its files belong to its user then
	}
	fds, _ := os.ReadDir(guard + "fd")
	for _, fd := range fds {
		target, _ := os.Readlink(guard + "fd/" + fd.Name())
		// The runtime of Go keeps the files that limit the CPU open, and fills up
		// the standard descriptors. The pidfd is the server's.
		if target != "anon_inode:[pidfd]" && !strings.HasPrefix(target, "pipe:") && target != "/dev/null" && target != "/proc" && !strings.HasPrefix(target, "/sys/fs/cgroup/cpu") {
			t.Errorf("descriptor %s leads to %s", fd.Name(), target)
		}
	}
}

func TestAnotherGuardTakesOver(t *testing.T) {
	s := launch(t, nil, "stdio")
	token := s.startEverything()
	first := s.guard()
	if err := syscall.Kill(first, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	proctest.Await(t, "another guard", func() bool { return s.guard() != first })
	s.cmd.Process.Kill()
	s.noneLeft(token)
}

// A server that cannot listen takes away what it has made: the next one finds
// nothing of it.
func TestServerThatCannotListenLeavesNothing(t *testing.T) {
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (pid int, log string) {
		var stderr bytes.Buffer
		cmd := exec.Command(binary, args...)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		cmd.Stderr = &stderr
		_ = cmd.Run() // how it ends is in its log
		return cmd.Process.Pid, stderr.String()
	}
	first := launch(t, nil, "serve", "--listen", "127.0.0.1:0", "--log-format", "json")
	pid, log := run("serve", "--listen", first.address())
	if !strings.Contains(log, "address already in use") {
		t.Fatal(log)
	}
	if _, log := run("stdio"); strings.Contains(log, "server_pid="+strconv.Itoa(pid)) {
		t.Error(log)
	}
}

// TestTheNextServerSweeps kills server and guard at once. What is left is ended
// by the next server of the same user, and nothing else is.
func TestTheNextServerSweeps(t *testing.T) {
	users(t, func(t *testing.T, as func(*exec.Cmd)) {
		t.Run("everything", func(t *testing.T) { sweeps(t, as, (*server).startEverything) })
		t.Run("what has no marker", func(t *testing.T) {
			sweeps(t, as, func(s *server) string {
				sleep, token := proctest.Sleeper()
				s.call("process_start", `{"command":"env -i setsid `+sleep+` & sleep 100","background":true}`)
				proctest.AwaitSleepers(t, token, 1)
				return token
			})
		})
	})
}

func sweeps(t *testing.T, as func(*exec.Cmd), start func(*server) string) {
	for !sweepsOnce(t, as, start) {
		t.Log("a server that is not this test's has swept first")
	}
}

// sweepsOnce reports whether the test's own server swept, and none that somebody else
// started in between.
func sweepsOnce(t *testing.T, as func(*exec.Cmd), start func(*server) string) bool {
	s := launchWith(t, as, nil, "stdio")
	token := start(s)
	guard := s.guard()
	bystander := launchWith(t, as, nil, "stdio", "--grace", "200ms")
	other := bystander.startEverything()

	s.cmd.Process.Signal(syscall.SIGSTOP) // it starts no other guard
	if err := syscall.Kill(guard, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.cmd.Process.Kill()
	s.in.Close()
	proctest.AwaitEnd(t, s.cmd.Process.Pid)
	next := launchWith(t, as, nil, "stdio")
	next.call("process_list", "{}")
	next.noneLeft(token)
	if len(proctest.Sleepers(other)) != 6 {
		t.Error("another server's processes were ended")
	}
	next.in.Close() // then all is in its log
	next.reap()
	return strings.Contains(next.stderr.String(), fmt.Sprintf("server_pid=%d", s.cmd.Process.Pid))
}

// Children of an ordinary user cannot look into the server, nor do they get the
// descriptors that it was given.
func TestServerIsClosedToItsChildren(t *testing.T) {
	users(t, func(t *testing.T, as func(*exec.Cmd)) {
		given, err := os.Open("/etc/passwd")
		if err != nil {
			t.Fatal(err)
		}
		defer given.Close()
		s := launchWith(t, func(cmd *exec.Cmd) {
			as(cmd)
			cmd.ExtraFiles = []*os.File{given, given}
		}, nil, "stdio")
		r := s.call("process_start", `{"command":"ls -l /proc/self/fd; cat /proc/$PPID/environ >/dev/null && echo open"}`)
		if strings.Contains(r.ProcessOutput.Output, "passwd") {
			t.Errorf("a child has the server's descriptors: %s", r.ProcessOutput.Output)
		}
		if (os.Getuid() != 0 || strings.Contains(t.Name(), "ordinary")) && strings.Contains(r.ProcessOutput.Output, "open") {
			t.Error("a child reads the server's environment")
		}
	})
}
