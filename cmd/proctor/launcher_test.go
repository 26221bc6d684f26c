//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/proctor-mcp/proctor/proctest"
)

// documentedLauncher returns the launcher in docs/launchers.md that begins with a
// program.
func documentedLauncher(t *testing.T, program string) string {
	t.Helper()
	found := regexp.MustCompile(`--launcher "(` + program + ` [^"]*)"`).FindStringSubmatch(document(t, "docs/launchers.md"))
	if found == nil {
		t.Fatalf("docs/launchers.md has no launcher %s", program)
	}
	return found[1]
}

// text calls a tool and returns what an agent would read.
func (s *server) text(tool, arguments string) string {
	s.t.Helper()
	s.id++
	fmt.Fprintf(s.in, `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":%s}}`+"\n", s.id, tool, arguments)
	line, err := s.out.ReadBytes('\n')
	if err != nil {
		s.t.Fatal(err)
	}
	var answer struct {
		Result struct{ Content []struct{ Text string } }
	}
	if err := json.Unmarshal(line, &answer); err != nil || len(answer.Result.Content) != 1 {
		s.t.Fatalf("%v: %s", err, line)
	}
	return answer.Result.Content[0].Text
}

// run returns the text of a start.
func (s *server) run(command string) string {
	s.t.Helper()
	return s.text("process_start", `{"command":`+quoted(command)+`}`)
}

func (s *server) check(command, want string) {
	s.t.Helper()
	if got := s.run(command); !strings.Contains(got, want) {
		s.t.Errorf("%s: got %s, want %s", command, got, want)
	}
}

func TestBubblewrap(t *testing.T) {
	proctest.Need(t, "bwrap", "curl", "python3")
	home, err := os.MkdirTemp("/var/tmp", "proctor-test-") // what is below /tmp is covered
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	work := home + "/src"
	if err := os.Mkdir(work, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	launcher := strings.ReplaceAll(documentedLauncher(t, "bwrap"), "$HOME", home)
	s := launch(t, []string{"HOME=" + home}, "stdio", "--workdir", work, "--launcher", launcher)

	connect := "curl -s -m 5 -o /dev/null telnet://" + l.Addr().String() + " </dev/null; echo curl $?"
	s.check(connect, "curl 7") // CURLE_COULDNT_CONNECT
	s.check("touch ../file", "Read-only file system")
	s.check("echo kept > file && pwd", work+"\n")
	if text, err := os.ReadFile(work + "/file"); string(text) != "kept\n" {
		t.Errorf("got %q, %v", text, err)
	}
	s.check("echo $$ $CODER_CHAT_ID; ls -d /proc/[0-9]* | wc -l; exit 7", "exited with code 7")
	port := strconv.Itoa(proctest.Port(t)) // refused in this network, free in the other
	r := s.call("process_start", `{"command":"exec python3 -m http.server --bind 127.0.0.1 `+port+`","background":true}`)
	s.call("process_output", `{"process_id":"`+r.ProcessID+`","wait_for":{"port_open":`+port+`},"wait_ms":20000}`)
	if got := s.text("process_output", `{"process_id":"`+r.ProcessID+`","wait_for":{"http_ok":"http://127.0.0.1:`+port+`/"},"wait_ms":100}`); !strings.Contains(got, "no connection from here reaches it") {
		t.Errorf("got %s", got)
	}
	s.text("process_signal", `{"process_id":"`+r.ProcessID+`","signal":"kill","wait_ms":20000}`)
	r = s.call("process_start", `{"command":"trap 'echo cleaned; exit 7' TERM; echo ready; while :; do sleep 0.01; done","background":true}`)
	s.awaitOutput(r.ProcessID, "ready")
	s.text("process_signal", `{"process_id":"`+r.ProcessID+`","signal":"terminate","wait_ms":20000}`)
	r = s.call("process_output", `{"process_id":"`+r.ProcessID+`"}`)
	if r.ExitCode == nil || *r.ExitCode != 7 || !strings.HasSuffix(r.ProcessOutput.Output, "cleaned\n") {
		t.Errorf("got %+v", r)
	}
}

func TestAnotherUser(t *testing.T) {
	proctest.Need(t, "setpriv", "setsid", "grep")
	other := strconv.Itoa(proctest.OtherUser(t))
	launcher := strings.NewReplacer("/home/agent", "/", "--init-groups", "--clear-groups", "agent", other).Replace(documentedLauncher(t, "setpriv"))
	s := launch(t, nil, "stdio", "--workdir", "/", "--launcher", launcher)
	s.check("id -u; id -G; echo $HOME", other+"\n")
	s.check("grep -E 'CapEff|NoNewPrivs' /proc/self/status", "0000000000000000\nNoNewPrivs:\t1\n")
	s.check("kill -0 $PPID || echo refused", "refused")
	r := s.call("process_start", `{"command":"(setsid sleep 1000 >/dev/null 2>&1 &) ; exit 3"}`)
	if got := s.text("process_signal", `{"process_id":"`+r.ProcessID+`","signal":"kill","wait_ms":20000}`); !strings.Contains(got, "Nothing is left alive.") {
		t.Errorf("got %s", got)
	}
}

func TestSSH(t *testing.T) {
	launcher := strings.Replace(documentedLauncher(t, "ssh"), "build.example.com", strings.Join(proctest.SSHD(t), " "), 1)
	s := launch(t, nil, "stdio", "--chat-id", "team/c", "--launcher", launcher)
	s.check(`echo "$CODER_CHAT_ID is 'here'"; exit 7`, "team/c is 'here'")
	s.check("exit 7", "exited with code 7")
	if got := s.text("process_start", `{"command":"pwd","workdir":"/"}`); got != "workdir: / does not pass the launcher ssh, which runs the command elsewhere. Nothing was started. Leave it out, put cd and && before the command, and call process_start again." {
		t.Errorf("got %s", got)
	}
	r := s.call("process_start", `{"command":"while echo tick; do sleep 0.05; done","background":true}`)
	s.awaitOutput(r.ProcessID, "tick")
	if got := s.text("process_signal", `{"process_id":"`+r.ProcessID+`","signal":"user1"}`); got != "signal: user1 does not pass the launcher ssh, which runs the command elsewhere. Use terminate or kill, which end the launcher here." {
		t.Errorf("got %s", got)
	}
	got := s.text("process_signal", `{"process_id":"`+r.ProcessID+`","signal":"terminate","wait_ms":20000}`)
	if !strings.Contains(got, "what it started there may live on") || !strings.Contains(got, "Nothing is left alive here.") {
		t.Errorf("got %s", got)
	}
}
