//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/proctor-mcp/proctor/proctest"
	"github.com/proctor-mcp/proctor/schemas"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "child" {
		proctest.Main(m, nil)
	}
	if len(os.Args) > 1 && os.Args[1] == "refuse" {
		refuse(os.Args[2:])
	}
	testscript.Main(checked{m}, map[string]func(){"proctor": main})
}

// checked runs the tests with the check for what they leave behind.
type checked struct{ *testing.M }

func (c checked) Run() int {
	return proctest.Run(c.M, func(tests func() int) int {
		code := tests()
		if built != "" {
			os.RemoveAll(built)
		}
		return code
	})
}

// TestScripts runs testdata/script: the program as it is used in a shell.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir+"/home")
			return os.Mkdir(e.WorkDir+"/home", 0o700)
		},
	})
}

// built is the directory that build has made.
var built string

// build returns the program, built as a user builds it: without the race
// detector, whose memory is its own.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "proctor-test-")
	if err != nil {
		return "", err
	}
	built = dir
	if err := os.Chmod(dir, 0o755); err != nil { // other users run it too
		return "", err
	}
	binary := filepath.Join(dir, "proctor")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return binary, nil
})

// server is the program, running.
type server struct {
	t       *testing.T
	cmd     *exec.Cmd
	stderr  *lines
	reaping sync.Once
	exited  chan struct{} // closed once it is gone

	in     io.WriteCloser // stdio only
	stdout io.Closer      // stdio only
	out    *bufio.Reader  // stdio only, of stdout
	id     int
}

// lines collects what a program writes and lets a test wait for it.
type lines struct {
	written chan struct{} // holds a token when there is more

	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func newLines() *lines { return &lines{written: make(chan struct{}, 1)} }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.written <- struct{}{}:
	default:
	}
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// launch starts the program with a home of its own.
func launch(t *testing.T, env []string, args ...string) *server {
	t.Helper()
	return launchWith(t, func(*exec.Cmd) {}, env, args...)
}

// launchWith is launch with a change of how it is started.
func launchWith(t *testing.T, change func(*exec.Cmd), env []string, args ...string) *server {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, cmd: exec.Command(binary, args...), stderr: newLines(), exited: make(chan struct{})}
	s.cmd.Env = append(append(os.Environ(), "HOME="+t.TempDir()), env...)
	s.cmd.Stderr = s.stderr
	change(s.cmd)
	if args[0] == "stdio" {
		if s.in, err = s.cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		out, err := s.cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		s.stdout, s.out = out, bufio.NewReader(out)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if s.in == nil {
		go s.reap()
	}
	t.Cleanup(func() {
		if s.in != nil {
			s.in.Close()
			go s.reap()
		} else {
			s.cmd.Process.Signal(syscall.SIGTERM)
		}
		s.gone()
	})
	return s
}

// reap waits for the end of the program, at most once at a time: what it has written
// must have been read by then.
func (s *server) reap() {
	s.reaping.Do(func() {
		s.cmd.Wait()
		close(s.exited)
	})
}

// gone waits until the program has ended.
func (s *server) gone() { <-s.exited }

// call calls a tool over stdio.
func (s *server) call(tool, arguments string) schemas.StartResult {
	s.t.Helper()
	result, refusal := s.ask(tool, arguments)
	if refusal != "" {
		s.t.Fatal(refusal)
	}
	return result
}

// ask is call for one that may be refused: refusal is what the agent reads then.
func (s *server) ask(tool, arguments string) (result schemas.StartResult, refusal string) {
	s.t.Helper()
	if tool == "process_start" {
		proctest.NeedFor(s.t, arguments)
	}
	s.id++
	fmt.Fprintf(s.in, `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":%s}}`+"\n", s.id, tool, arguments)
	line, err := s.out.ReadBytes('\n')
	if err != nil {
		s.t.Fatalf("%v; the log says %s", err, s.stderr)
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

// awaitOutput waits until the output has the text, and returns it.
func (s *server) awaitOutput(id, text string) string {
	s.t.Helper()
	arguments := fmt.Sprintf(`{"process_id":%q,"wait_ms":50000,"wait_for":{"output_matches":%s}}`, id, quoted(regexp.QuoteMeta(text)))
	for {
		r := s.call("process_output", arguments)
		if strings.Contains(r.ProcessOutput.Output, text) {
			return r.ProcessOutput.Output
		}
		if !r.Running {
			s.t.Fatalf("it ended without %q: %q", text, r.ProcessOutput.Output)
		}
	}
}

// address waits for the log to tell where a server listens.
func (s *server) address() string {
	s.t.Helper()
	var address string
	s.awaitLog("listening", func(line string) bool {
		var record struct{ Msg, Address string }
		_ = json.Unmarshal([]byte(line), &record) // other lines are no records
		address = record.Address
		return record.Msg == "listening"
	})
	return address
}

// awaitLog waits until a line of the log is what is wanted.
func (s *server) awaitLog(what string, wanted func(line string) bool) {
	s.t.Helper()
	has := func() bool {
		for line := range strings.Lines(s.stderr.String()) {
			if wanted(line) {
				return true
			}
		}
		return false
	}
	for !has() {
		select {
		case <-s.stderr.written:
		case <-s.exited:
			if !has() {
				s.t.Fatalf("the server ended without %q in its log: %s", what, s.stderr)
			}
		}
	}
}

func quoted(s string) string {
	text, _ := json.Marshal(s)
	return string(text)
}

func TestARealBuildIsFollowedToItsExit(t *testing.T) {
	s := launch(t, nil, "stdio", "--workdir", "../../fair")
	r := s.call("process_start", `{"command":"go vet . && go test -count=1 . && exit 42","wait_ms":1}`)
	if !r.Running {
		t.Fatalf("it did not run past its wait: %+v", r)
	}
	for r.Running { // a machine that has never built it takes its time
		r = s.call("process_output", `{"process_id":"`+r.ProcessID+`","wait_ms":50000}`)
	}
	if r.ExitCode == nil || *r.ExitCode != 42 || !strings.Contains(r.ProcessOutput.Output, "ok  \tgithub.com/proctor-mcp/proctor/fair") {
		t.Errorf("got %+v", r)
	}
}

func TestAWebServerAnswersAndIsGone(t *testing.T) {
	s := launch(t, nil, "stdio")
	r := s.call("process_start", `{"command":`+quoted(proctest.Child("http"))+`,"background":true}`)
	url := strings.TrimSpace(s.awaitOutput(r.ProcessID, "http://"))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func() string {
		response, err := client.Get(url)
		if err != nil {
			return err.Error()
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		return string(text)
	}
	// It tells its pid: the port of one that is gone may be another's at once.
	answer := get()
	if !strings.HasPrefix(answer, "hello from ") {
		t.Fatalf("%s answers %s", url, answer)
	}
	r = s.call("process_signal", `{"process_id":"`+r.ProcessID+`","signal":"terminate","grace_ms":5000,"wait_ms":20000}`)
	if r.Running || get() == answer {
		t.Errorf("it is still there: %+v", r)
	}
}

func TestAFloodLeavesMemorySmallAndCountsExact(t *testing.T) {
	const size = 512 << 20
	s := launch(t, nil, "stdio")
	r := s.call("process_start", fmt.Sprintf(`{"command":%s,"wait_ms":50000}`, quoted(proctest.Child("flood", fmt.Sprint(size)))))
	for r.Running {
		r = s.call("process_output", `{"process_id":"`+r.ProcessID+`","wait_ms":50000}`)
	}
	if r.Truncated == nil || r.Truncated.OriginalBytes != size || r.Truncated.RetainedBytes+r.Truncated.OmittedBytes != size || r.NextCursor != size {
		t.Errorf("got %+v", r.Truncated)
	}
	s.checkPeak(64)
}

// checkPeak tells how much resident memory the server took at most, and with -bounds
// fails the test if that is too much.
func (s *server) checkPeak(mib int) {
	s.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	var kib int
	fmt.Sscan(after, &kib)
	s.t.Logf("peak RSS %d KiB", kib)
	if proctest.Bounds() && (kib == 0 || kib > mib<<10) {
		s.t.Errorf("peak RSS is %d KiB, more than %d MiB", kib, mib)
	}
}

func TestALongLineIsRefusedInLittleMemory(t *testing.T) {
	s := launch(t, nil, "stdio")
	go func() {
		line := bytes.Repeat([]byte("x"), 1<<20)
		for range 64 {
			s.in.Write(line)
		}
		s.in.Write([]byte("\n"))
	}()
	if line, err := s.out.ReadString('\n'); err != nil || !strings.Contains(line, "longer than") {
		t.Errorf("got %q, %v", line, err)
	}
	if r := s.call("process_start", `{"command":"echo in step"}`); r.ProcessOutput.Output != "in step\n" {
		t.Errorf("got %+v", r)
	}
	s.checkPeak(96)
}

func TestFloodsOverHTTPAreRefusedInLittleMemory(t *testing.T) {
	const secret = "a-token-for-the-floods"
	s := launch(t, []string{"PROCTOR_TOKEN=" + secret}, "serve", "--listen", "127.0.0.1:0", "--log-format", "json")
	address := s.address()
	for what, c := range map[string]struct{ head, flood, want string }{
		"endless body": {"POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + secret + "\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
			"10000\r\n" + strings.Repeat("x", 1<<16) + "\r\n", "413"},
		"endless body of a stranger": {"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
			"10000\r\n" + strings.Repeat("x", 1<<16) + "\r\n", "401"},
		"endless headers": {"POST /mcp HTTP/1.1\r\nHost: localhost\r\n", "X-Bomb: " + strings.Repeat("x", 1<<16) + "\r\n", "431"},
	} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		sent := 0
		io.WriteString(conn, c.head)
		for sent < 256<<20 { // until it hangs up
			n, err := io.WriteString(conn, c.flood)
			if sent += n; err != nil {
				break
			}
		}
		answer, _ := bufio.NewReader(conn).ReadString('\n')
		conn.Close()
		// A reset may reach us before the answer does.
		if answer != "" && !strings.Contains(answer, c.want) || sent > 64<<20 {
			t.Errorf("%s: %d bytes were taken, answer %q", what, sent, answer)
		}
	}
	s.checkPeak(96)
}

func TestTokensAreReadAnewWhenTheyChange(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	write := func(text string) {
		// A new file in the place of the old one, as an editor or a manager does it.
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write("old-token-of-this-server\n")
	s := launch(t, nil, "serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--token-file", file)
	url := "http://" + s.address() + "/mcp"
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	let := func(token, chat string) bool {
		cmd := exec.Command(binary, "call", "--url", url, "--chat-id", chat, "process_list")
		cmd.Env = append(os.Environ(), "PROCTOR_TOKEN="+token)
		return cmd.Run() == nil
	}
	check := func(when string, old, fresh, bound bool) {
		t.Helper()
		if let("old-token-of-this-server", "c") != old || let("new-token-of-this-server", "c") != fresh || let("bound-token-of-this-server", "team/a") != bound {
			t.Errorf("%s: wrong tokens are let in", when)
		}
	}
	check("at first", true, false, false)
	write("old-token-of-this-server\nnew-token-of-this-server\nbound-token-of-this-server team/\n")
	check("while both are valid", true, true, true)
	if let("bound-token-of-this-server", "other/a") {
		t.Error("a bound token names another chat")
	}
	write("new-token-of-this-server\n")
	check("then", false, true, false)
	write("bad\n")
	check("a file that cannot be used changes nothing", false, true, false)
}

func TestTheTokenGoesNowhere(t *testing.T) {
	const secret = "a-token-that-nobody-may-see"
	s := launch(t, []string{"PROCTOR_TOKEN=" + secret, "OTHER=1"}, "serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--log-level", "debug")
	url := "http://" + s.address() + "/mcp"
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(token string, args ...string) string {
		cmd := exec.Command(binary, append([]string{"call", "--url", url}, args...)...)
		cmd.Env = append(os.Environ(), "PROCTOR_TOKEN="+token)
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	env := ask(secret, "process_start", `{"command":"env; tr '\\0' ' ' < /proc/self/cmdline"}`)
	if !strings.Contains(env, "OTHER=1") {
		t.Fatalf("the call failed: %s", env)
	}
	wrong := ask("a-wrong-token-of-a-stranger", "process_list")
	if !strings.Contains(wrong, "401") && !strings.Contains(strings.ToLower(wrong), "unauthorized") {
		t.Errorf("a wrong token: %s", wrong)
	}
	for what, text := range map[string]string{"a child": env, "the log": s.stderr.String(), "an error": wrong} {
		if strings.Contains(text, secret) || strings.Contains(text, "a-wrong-token") {
			t.Errorf("%s has the token: %s", what, text)
		}
	}
}

func TestServeKeepsItsToken(t *testing.T) {
	home := t.TempDir()
	file := filepath.Join(home, ".local/state/proctor/token")
	var first []byte
	for range 2 {
		s := launch(t, []string{"HOME=" + home}, "serve", "--listen", "127.0.0.1:0", "--log-format", "json")
		s.address()
		token, err := os.ReadFile(file)
		if err != nil || len(token) < 40 || first != nil && !bytes.Equal(token, first) {
			t.Fatalf("got %d bytes, %v; the same as before: %v", len(token), err, bytes.Equal(token, first))
		}
		first = token
		s.cmd.Process.Signal(syscall.SIGTERM)
		s.gone()
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
	if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 2 { // and the folder of outputs
		t.Errorf("got %v, %v", entries, err)
	}
}

func TestNohupIsRespected(t *testing.T) {
	s := launchWith(t, func(cmd *exec.Cmd) { within(cmd, "sh", "-c", `trap "" HUP; exec "$@"`, "sh") },
		[]string{"PROCTOR_TOKEN=a-token-that-is-long-enough"}, "serve", "--listen", "127.0.0.1:0", "--log-format", "json")
	address := s.address()
	s.cmd.Process.Signal(syscall.SIGHUP)
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	call := exec.Command(binary, "call", "--url", "http://"+address+"/mcp", "process_list")
	call.Env = s.cmd.Env
	if out, err := call.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestAnInterruptEndsACallThatReads(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	if code := run(ctx, system{args: []string{"call", "process_list", "-"}, stdin: r, stdout: &out, stderr: &out}); code != exitFailure {
		t.Errorf("exit %d: %s", code, &out)
	}
}

func TestColourOnATerminalOnlyAndNoControlCharacters(t *testing.T) {
	var text bytes.Buffer
	o := logOptions{level: "info", format: "text"}
	log, err := o.open(&text)
	if err != nil {
		t.Fatal(err)
	}
	log.Info("a\x1b[31mb", "k", "v\x1b[0m\r\nforged", "e", fmt.Errorf("\x07"), "u", "grün")
	if got := text.String(); strings.ContainsAny(strings.TrimSuffix(got, "\n"), "\x1b\r\n\x07") || !strings.Contains(got, "grün") {
		t.Errorf("got %q", got)
	}
	text.Reset()
	o.format = "json"
	if log, err = o.open(&text); err != nil {
		t.Fatal(err)
	}
	log.Info("a", "k", "\u009b31m\x7f\u202e\x1b", "u", "grün")
	if got := text.String(); strings.ContainsAny(got, "\u009b\x7f\u202e\x1b") || !strings.Contains(got, "grün") {
		t.Errorf("got %q", got)
	}
}

func TestRunWithoutATerminal(t *testing.T) {
	var stdout, stderr bytes.Buffer
	code := run(context.Background(), system{args: []string{"version"}, stdout: &stdout, stderr: &stderr})
	if code != exitOK || !strings.HasPrefix(stdout.String(), "proctor "+version) {
		t.Errorf("got %d, %q, %q", code, &stdout, &stderr)
	}
}
