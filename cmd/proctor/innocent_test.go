//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/proctor-mcp/proctor/proctest"
)

// In other pid namespaces a server has another number, so that those who look from
// outside take it for one that is gone.

// inNamespaces has a server started by unshare(1), with words before it.
func inNamespaces(t *testing.T, as func(*exec.Cmd), words ...string) func(*exec.Cmd) {
	t.Helper()
	proctest.Need(t, "unshare")
	path, err := exec.LookPath("unshare")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"unshare", "--pid", "--fork", "--mount-proc"}
	probe := exec.Command(path, append(args[1:], "true")...)
	as(probe)
	if probe.Run() != nil { // an ordinary user needs a user namespace for it
		args = append(args, "--user", "--map-root-user")
		probe := exec.Command(path, append(args[1:], "true")...)
		as(probe)
		if err := probe.Run(); err != nil {
			t.Skip("SKIPPED: no namespaces:", err)
		}
	}
	return func(cmd *exec.Cmd) {
		as(cmd)
		cmd.Path, cmd.Args = path, append(append(args, words...), cmd.Args...)
	}
}

func TestServersInOtherNamespacesAreNotSwept(t *testing.T) {
	t.Parallel()
	users(t, func(t *testing.T, as func(*exec.Cmd)) {
		for name, words := range map[string][]string{
			"as process 1": nil, "as another": {"sh", "-c", `"$0" "$@"; :`},
		} {
			t.Run(name, func(t *testing.T) {
				s := launchWith(t, inNamespaces(t, as, words...), nil, "stdio", "--kill-domain", "descendants", "--grace", "200ms")
				token := s.startEverything()
				sweeper := harmed(t, as)
				sweeper.call("process_list", "{}")
				sweeper.in.Close()
				sweeper.awaitEnd() // not before it has swept
				if left := proctest.Sleepers(token); len(left) != 6 {
					t.Errorf("%v of 6 live", left)
				}
			})
		}
	})
}

// Process 1 of a namespace adopts what no command has forked. A kill leaves that alone,
// although it has no mark.
func TestWhatWasAdoptedFromElsewhereIsNotKilled(t *testing.T) {
	t.Parallel()
	proctest.Need(t, "nsenter", "setsid")
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root enters another namespace")
	}
	s := launchWith(t, inNamespaces(t, func(*exec.Cmd) {}), nil, "stdio", "--kill-domain", "descendants", "--grace", "200ms")
	id := processID(t, s.inChat("c", "process_start", `{"command":"exec sleep 1000","background":true}`))
	list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	sleep, token := proctest.Sleeper()
	t.Cleanup(func() { endSleepers(token) })
	server := strings.TrimSpace(string(list))
	if out, err := exec.Command("nsenter", "-t", server, "-p", "-m", "sh", "-c", "(setsid "+sleep+quiet+"&)").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	proctest.Await(t, "the server adopts it", func() bool {
		pids := proctest.Sleepers(token)
		return len(pids) == 1 && parent(pids[0]) == server
	})
	answer := s.inChat("c", "process_signal", `{"process_id":"`+id+`","signal":"kill","wait_ms":20000}`)
	if len(proctest.Sleepers(token)) != 1 {
		t.Errorf("it was killed; the answer is %s", answer)
	}
}

// parent returns the pid of a process's parent.
func parent(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(text), ") ")
	if fields := strings.Fields(rest); len(fields) > 1 {
		return fields[1]
	}
	return ""
}
