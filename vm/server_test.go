//go:build linux

package vm

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
	"github.com/proctor-mcp/proctor/proctest"
	"github.com/proctor-mcp/proctor/schemas"
)

// server is proctor stdio, in a group.
type server struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr buffer
	id     int
	wait   func() // for its end, once
}

// buffer collects what a program writes.
type buffer struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// serve starts a server in the group. It is alone there.
func (g group) serve(t *testing.T, flags ...string) *server {
	t.Helper()
	return serve(t, g.command(t, proctor, append([]string{"stdio"}, flags...)...))
}

func serve(t *testing.T, cmd *exec.Cmd) *server {
	t.Helper()
	s := &server{t: t, cmd: cmd}
	s.cmd.Stderr = &s.stderr
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.out = bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.wait = sync.OnceFunc(func() { s.cmd.Wait() })
	t.Cleanup(func() {
		s.end()
		if t.Failed() {
			t.Logf("the server's log:\n%s", s.stderr.String())
		}
	})
	return s
}

// end ends the server as a client does.
func (s *server) end() {
	s.in.Close()
	s.wait()
}

// ask calls a tool for a chat. refusal is the error message that the agent reads, "" if
// there is none.
func (s *server) ask(chat, tool string, arguments map[string]any) (result schemas.StartResult, refusal string) {
	s.t.Helper()
	s.id++
	request, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": s.id, "method": "tools/call", "params": map[string]any{
		"name": tool, "arguments": arguments, "_meta": map[string]any{"coder.com/chat-id": chat, "proctor/structured": true},
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	_, _ = s.in.Write(append(request, '\n')) // a server that is gone does not answer
	line, err := s.out.ReadBytes('\n')
	if err != nil {
		s.t.Fatalf("the server does not answer: %v", err)
	}
	var answer struct {
		Result struct {
			IsError           bool
			Content           json.RawMessage
			StructuredContent schemas.StartResult
		}
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		s.t.Fatalf("%v: %s", err, line)
	}
	if answer.Result.IsError {
		refusal = string(answer.Result.Content)
	}
	return answer.Result.StructuredContent, refusal
}

// call is ask for a call that must not be refused.
func (s *server) call(chat, tool string, arguments map[string]any) schemas.StartResult {
	s.t.Helper()
	result, refusal := s.ask(chat, tool, arguments)
	if refusal != "" {
		s.t.Fatal(refusal)
	}
	return result
}

// background starts a command in the background.
func (s *server) background(chat, command string) (id string) {
	s.t.Helper()
	return s.call(chat, "process_start", map[string]any{"command": command, "background": true}).ProcessID
}

// await waits until the output of a process contains a text.
func (s *server) await(chat, id, text string) {
	s.t.Helper()
	until(s.t, "output "+text, func() bool {
		return strings.Contains(s.call(chat, "process_output", map[string]any{"process_id": id, "wait_ms": 0}).Output, text)
	})
}

// ended waits until a process has ended.
func (s *server) ended(chat, id string) schemas.Process {
	s.t.Helper()
	for {
		r := s.call(chat, "process_output", map[string]any{"process_id": id, "wait_ms": 50000})
		if !r.Running {
			return r.Process
		}
	}
}

// kill kills a process and all that it forked.
func (s *server) kill(chat, id string) {
	s.t.Helper()
	s.call(chat, "process_signal", map[string]any{"process_id": id, "signal": "kill"})
}

// everything returns a command that leaves six processes behind, in every way: in its
// process group, out of its session, orphaned, as daemons without their environment.
func everything(token string) (command string) {
	return strings.ReplaceAll(
		"trap '' TERM; SLEEP & (setsid sh -c 'SLEEP & SLEEP' &); (env -i setsid sh -c 'setsid SLEEP & SLEEP' >/dev/null 2>&1 &); SLEEP", "SLEEP", "/bin/sleep "+token)
}

// everything starts such a command and waits until all six run.
func (s *server) everything(chat string) (id, token string) {
	s.t.Helper()
	_, token = proctest.Sleeper()
	id = s.background(chat, everything(token))
	s.stand(token)
	return id, token
}

// stand waits until the six processes of everything run.
func (s *server) stand(token string) {
	s.t.Helper()
	until(s.t, "six processes", func() bool { return len(sleepers(token)) == 6 })
}

// sleepers returns the living processes of a token.
func sleepers(token string) (pids []int) {
	_ = procfs.Pids(func(pid int) {
		line, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
		if bytes.HasSuffix(line, []byte("sleep\x00"+token+"\x00")) && proctest.Alive(pid) {
			pids = append(pids, pid)
		}
	})
	return pids
}

func noneLeft(t *testing.T, token string) {
	t.Helper()
	until(t, "nothing is left", func() bool { return len(sleepers(token)) == 0 })
}
