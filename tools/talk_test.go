//go:build linux

package tools

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/proctest"
	"github.com/proctor-mcp/proctor/schemas"
)

// tell gives a process input and returns the answer.
func (a *agent) tell(p result, arguments string, args ...any) result {
	a.t.Helper()
	r := a.call("process_input", fmt.Sprintf(`{"process_id":%q,`, p.ProcessID)+fmt.Sprintf(arguments, args...)+`}`)
	if r.isError {
		a.t.Fatal(r.text)
	}
	return r
}

// shows waits until the screen of a process shows a text, and returns the screen.
func (a *agent) shows(p result, text string) schemas.Screen {
	a.t.Helper()
	var r result
	proctest.Await(a.t, fmt.Sprintf("%q is on the screen", text), func() bool { // each look waits for silence
		r = a.call("process_output", fmt.Sprintf(`{"process_id":%q,"screen":true,"wait_ms":200,"wait_for":{"idle_ms":100}}`, p.ProcessID))
		if r.Screen == nil || !r.Running && !strings.Contains(r.Screen.Text, text) {
			a.t.Fatalf("no %q on the screen:\n%s", text, r.text)
		}
		return strings.Contains(r.Screen.Text, text)
	})
	return *r.Screen
}

// awaits waits until an answer says that the process waits for input.
func (a *agent) awaits(p result, how string) result {
	a.t.Helper()
	var r result
	proctest.Await(a.t, "it waits for input: "+how, func() bool {
		r = a.call("process_output", fmt.Sprintf(`{"process_id":%q,"wait_ms":100}`, p.ProcessID))
		if !r.Running {
			a.t.Fatalf("it does not wait for input: %s", r.text)
		}
		return r.WaitingForInput == how
	})
	return r
}

func exitedWith(r result, code int) bool { return r.ExitCode != nil && *r.ExitCode == code }

func TestInputByPipe(t *testing.T) {
	a := newAgent(t, io.Discard)
	cat := a.call("process_start", `{"command":"cat","keep_stdin":true,"background":true}`)
	if r := a.tell(cat, `"text":"hello","keys":["enter"]`); r.ProcessOutput.Output != "hello\n" || !r.Running {
		t.Errorf("got %s", r.text)
	}
	if r := a.tell(cat, `"text":"at once\n","wait_ms":0`); r.NextCursor == 0 {
		t.Errorf("got %s", r.text)
	}
	if r := a.tell(cat, `"eof":true`); !exitedWith(r, 0) {
		t.Errorf("got %s", r.text)
	}
	sort := a.call("process_start", `{"command":"sort","keep_stdin":true,"background":true}`)
	a.tell(sort, `"text":"pear\n"`)
	a.tell(sort, `"text":"apple\n"`)
	if r := a.awaits(sort, "certain"); !strings.Contains(r.text, ", waiting for input.") {
		t.Errorf("who forgets the end is told nothing: %s", r.text)
	}
	if r := a.call("process_list", `{"state":"running"}`); !strings.Contains(r.text, "waiting for input") {
		t.Errorf("got %s", r.text)
	}
	a.tell(sort, `"text":"fig\n"`)
	if r := a.tell(sort, `"eof":true`); *r.ExitCode != 0 || r.ProcessOutput.Output != "apple\nfig\npear\n" {
		t.Errorf("got %s", r.text)
	}
	// The answer to a start comes when the process asks, before the wait is over.
	ask := a.call("process_start", `{"command":"sleep 0.3; printf 'name? '; read x; echo you are $x","keep_stdin":true,"wait_ms":50000}`)
	if ask.WaitingForInput != "certain" || !strings.Contains(ask.text, "name?") || ask.DurationMS >= 50_000 {
		t.Errorf("got %s", ask.text)
	}
	if r := a.tell(ask, `"text":"Ada\n"`); !strings.Contains(r.ProcessOutput.Output, "you are Ada") {
		t.Errorf("got %s", r.text)
	}
}

func TestInputIsRefusedByName(t *testing.T) {
	a := newAgent(t, io.Discard)
	none := a.call("process_start", `{"command":"exec sleep 100","background":true}`)
	pipe := a.call("process_start", `{"command":"exec sleep 100","background":true,"keep_stdin":true}`)
	over := a.call("process_start", `{"command":"true"}`)
	for _, c := range []struct {
		p               result
		arguments, want string
	}{
		{none, `"text":"x"`, "process_id: this process takes no input. Start it again with keep_stdin"},
		{over, `"text":"x"`, "process_id: the process has ended and takes no input"},
		{pipe, `"text":""`, "text, keys, eof, rows and cols: got none"},
		{pipe, `"keys":["enter","up"]`, `keys.1: got "up", which needs a terminal`},
		{pipe, `"keys":["alt-\u212a"]`, `keys.0: got "alt-`},
		{pipe, `"keys":["hello"]`, `keys.0: got "hello", must be a name such as enter`},
		{pipe, `"rows":10`, "rows, cols: got one of them, must be both or none"},
		{pipe, `"rows":10,"cols":10`, "rows, cols: this process has no terminal"},
		{pipe, `"text":"x","screen":true`, "screen: this process has no terminal"},
		{pipe, `"text":"` + strings.Repeat("x", 1<<17) + `","wait_ms":50`, "text: the process took 65536 of 131072 bytes within wait_ms"},
	} {
		if r := a.call("process_input", `{"process_id":"`+c.p.ProcessID+`",`+c.arguments+`}`); !r.isError || !strings.Contains(r.text, c.want) {
			t.Errorf("%.80s: %s", c.arguments, r.text)
		}
	}
	if r := a.call("process_start", `{"command":"true","tty":{"rows":1000}}`); !r.isError || !strings.Contains(r.text, "tty: got 1000 rows and 80 columns; must be 1 to 120 rows") {
		t.Errorf("got %s", r.text)
	}
	if r := a.call("process_start", `{"command":"true","tty":{"rows":0,"cols":0}}`); !r.isError || !strings.Contains(r.text, "tty: got 0 rows and 0 columns, must be 1 to 120 rows") {
		t.Errorf("got %s", r.text)
	}
	if r := a.call("process_start", `{"command":"true","tty":true}`); !r.isError || !strings.Contains(r.text, "tty: got a boolean, must be an object that can have cols, rows.") {
		t.Errorf("got %s", r.text)
	}
	if r := a.call("process_start", `{"command":"true","env":{"A":{}}}`); !r.isError || !strings.Contains(r.text, "env.A: got an object, must be a string") {
		t.Errorf("got %s", r.text)
	}
	if r := a.call("process_output", `{"process_id":"`+none.ProcessID+`","screen":true}`); !r.isError || !strings.Contains(r.text, "screen: this process has no terminal") {
		t.Errorf("got %s", r.text)
	}
}

// inTerminal starts a command in a terminal of the usual size, whose programs write
// UTF-8 wherever the test runs.
func (a *agent) inTerminal(dir, command string) result {
	a.t.Helper()
	r := a.call("process_start", fmt.Sprintf(`{"command":%q,"workdir":%q,"background":true,"tty":{},"env":{"LC_ALL":"C.UTF-8"}}`, command, dir))
	if r.isError {
		a.t.Fatal(r.text)
	}
	return r
}

func TestTalkToACalculator(t *testing.T) {
	proctest.Need(t, "bc")
	a := newAgent(t, io.Discard)
	bc := a.call("process_start", `{"command":"bc -q","keep_stdin":true,"background":true}`)
	if r := a.tell(bc, `"text":"6 * 7\n","wait_for":{"output_matches":"42"}`); r.WaitResult != "output_matches" {
		t.Errorf("got %s", r.text)
	}
}

func TestTalkToREPLs(t *testing.T) {
	proctest.Need(t, "python3", "bash")
	a := newAgent(t, io.Discard)
	python := a.call("process_start", `{"command":"python3 -i -q","tty":{},"wait_ms":50000}`)
	if python.WaitingForInput != "likely" || !strings.Contains(python.text, ">>>") || python.DurationMS >= 50_000 {
		t.Errorf("got %s", python.text)
	}
	if r := a.tell(python, `"text":"print(6 * 7)","keys":["enter"],"wait_for":{"output_matches":"^42"}`); r.WaitResult != "output_matches" {
		t.Errorf("got %s", r.text)
	}
	a.tell(python, `"text":"input('password: ')\r","wait_for":{"output_matches":"password: $"}`)
	if r := a.tell(python, `"keys":["Ctrl+C"]`); !strings.Contains(r.ProcessOutput.Output, "KeyboardInterrupt") {
		t.Errorf("got %s", r.text)
	}
	if r := a.tell(python, `"keys":["enter"],"eof":true,"wait_for":{"output_matches":"never"}`); r.Running {
		t.Errorf("got %s", r.text)
	}

	bash := a.inTerminal(t.TempDir(), "PS1='here$ ' bash --norc --noprofile -i")
	a.shows(bash, "here$")
	a.awaits(bash, "likely")
	begin := time.Now()
	r := a.call("process_output", `{"process_id":"`+bash.ProcessID+`"}`)
	if r.WaitingForInput != "likely" || time.Since(begin) >= defaultWait { // clock: it ends before its own time
		t.Errorf("a wait for the exit does not end with the question: %s", r.text)
	}
	if r := a.tell(bash, `"text":"sleep 100\r"`); r.WaitingForInput != "" {
		t.Errorf("what sleeps waits for no input: %s", r.text)
	}
	a.tell(bash, `"keys":["ctrl-z"],"wait_for":{"output_matches":"Stopped"}`)
	a.tell(bash, `"text":"kill %%1; echo $((40+2))\r","wait_for":{"output_matches":"^42"}`)
	if r := a.tell(bash, `"text":"exit 7\r","wait_for":{"output_matches":"never"}`); !exitedWith(r, 7) {
		t.Errorf("got %s", r.text)
	}
}

func TestFullScreenPrograms(t *testing.T) {
	proctest.Need(t, "vim", "less", "python3", "top")
	a := newAgent(t, io.Discard)
	dir := t.TempDir()
	var lines strings.Builder
	for i := range 500 {
		fmt.Fprintf(&lines, "line %d\n", i+1)
	}
	if err := os.WriteFile(filepath.Join(dir, "text"), []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	vim := a.inTerminal(dir, "vim -u NONE -i NONE -n text")
	if s := a.shows(vim, "line 23"); !s.Alternate || s.CursorRow != 1 || s.CursorCol != 1 || strings.Contains(s.Text, "line 24") {
		t.Errorf("got %+v", s)
	}
	a.awaits(vim, "likely")
	if r := a.tell(vim, `"text":"ccfirst 世界","keys":["esc"],"screen":true`); r.Screen == nil {
		t.Errorf("got %s", r.text)
	}
	if s := a.shows(vim, "first 世界"); !strings.HasPrefix(s.Text, "first 世界\nline 2\n") {
		t.Errorf("got %+v", s)
	}
	a.tell(vim, `"rows":40,"cols":100`)
	if s := a.shows(vim, "line 39"); s.Rows != 40 || s.Cols != 100 {
		t.Errorf("got %+v", s)
	}
	if r := a.tell(vim, `"text":":wq\r","wait_for":{"output_matches":"never"}`); !exitedWith(r, 0) {
		t.Errorf("got %s", r.text)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "text")); !strings.HasPrefix(string(text), "first 世界\nline 2\n") {
		t.Errorf("the file has %.40q", text)
	}

	// A menu that has switched the cursor keys to application mode gets those codes.
	menu := a.inTerminal(dir, `python3 -c "import curses; curses.wrapper(lambda s: (s.addstr(0, 0, 'menu'), s.refresh(), s.addstr(1, 0, curses.keyname(s.getch())), s.refresh(), s.getch()))"`)
	a.shows(menu, "menu")
	a.awaits(menu, "certain")
	a.tell(menu, `"keys":["down"]`)
	a.shows(menu, "KEY_DOWN")
	a.tell(menu, `"keys":["Return"]`)

	less := a.inTerminal(dir, "less text")
	a.shows(less, "line 23")
	a.awaits(less, "certain") // it reads the terminal by another descriptor
	a.tell(less, `"keys":["space"]`)
	a.shows(less, "line 46")
	a.tell(less, `"text":"/line 300\r"`)
	if s := a.shows(less, "line 300"); !strings.HasPrefix(s.Text, "line 300\n") {
		t.Errorf("got %+v", s)
	}
	if r := a.tell(less, `"text":"q","wait_for":{"output_matches":"never"}`); r.Running {
		t.Errorf("got %s", r.text)
	}

	top := a.inTerminal(dir, "top -d 100")
	a.shows(top, "%Cpu")
	a.tell(top, `"text":"q"`)

	// A killed program leaves its last picture.
	vim = a.inTerminal(dir, "vim -u NONE -i NONE -n text")
	a.shows(vim, "line 23")
	a.call("process_signal", `{"process_id":"`+vim.ProcessID+`","signal":"kill","wait_ms":50000}`)
	if s := a.shows(vim, "line 23"); !s.Alternate {
		t.Errorf("got %+v", s)
	}
}

func TestGitAddPatch(t *testing.T) {
	a := newAgent(t, io.Discard)
	dir := t.TempDir()
	run := func(args ...string) string {
		cmd := exec.Command("git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	write := func(first, last string) {
		text := first + "\n" + strings.Repeat("same\n", 30) + last + "\n"
		if err := os.WriteFile(filepath.Join(dir, "file"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run("init", "-q")
	write("old first", "old last")
	run("add", "file")
	run("commit", "-qm", "before")
	write("new first", "new last")
	git := a.inTerminal(dir, "git add -p")
	a.shows(git, "Stage this hunk")
	a.awaits(git, "certain")
	a.tell(git, `"text":"n\r","wait_for":{"output_matches":"\\(2/2\\) Stage this hunk"}`)
	if r := a.tell(git, `"text":"y\r","wait_for":{"output_matches":"never"}`); !exitedWith(r, 0) {
		t.Errorf("got %s", r.text)
	}
	if staged := run("diff", "--cached"); !strings.Contains(staged, "+new last") || strings.Contains(staged, "new first") {
		t.Errorf("staged is %s", staged)
	}
}

// A program asks for a password on the terminal, and the answer does not show it.
func TestPassword(t *testing.T) {
	proctest.Need(t, "python3")
	a := newAgent(t, io.Discard)
	p := a.inTerminal(t.TempDir(), `python3 -c 'import getpass; print("its length is", len(getpass.getpass()))'`)
	a.shows(p, "Password:")
	a.awaits(p, "certain")
	if r := a.tell(p, `"text":"secret\r","wait_for":{"output_matches":"its length is 6"}`); r.WaitResult != "output_matches" || strings.Contains(r.text, "secret") {
		t.Errorf("got %s", r.text)
	}
}

// A terminal that is flooded with input, resized while it writes, and killed.
func TestTerminalUnderLoad(t *testing.T) {
	a := newAgent(t, io.Discard)
	yes := a.inTerminal(t.TempDir(), "yes 0123456789")
	for i := range 80 { // more than are remembered
		a.tell(yes, `"rows":%d,"cols":%d,"wait_for":{"new_output":true}`, 10+i, 40+i)
	}
	if r := a.call("process_output", `{"process_id":"`+yes.ProcessID+`","screen":true}`); r.Screen == nil || r.Screen.Rows != 89 || r.Screen.Cols != 119 || !strings.Contains(r.Screen.Text, "0123456789") {
		t.Errorf("got %s", r.text)
	}
	a.call("process_signal", `{"process_id":"`+yes.ProcessID+`","signal":"kill","wait_ms":50000}`)
	deaf := a.inTerminal(t.TempDir(), "exec sleep 100")
	r := a.call("process_input", `{"process_id":"`+deaf.ProcessID+`","text":"`+strings.Repeat(`x\n`, 1<<18)+`","wait_ms":100}`)
	if !r.isError || !strings.Contains(r.text, "within wait_ms and does not read the rest now") {
		t.Errorf("got %.300s", r.text)
	}
	a.call("process_signal", `{"process_id":"`+deaf.ProcessID+`","signal":"kill","wait_ms":50000}`)
	if r := a.call("process_input", `{"process_id":"`+deaf.ProcessID+`","text":"x"}`); !r.isError || !strings.Contains(r.text, "has ended and takes no input") {
		t.Errorf("got %s", r.text)
	}
}

// A terminal that no process has open for a while is not at its end, and waiting for it
// takes no processor time.
func TestTerminalIsClosedAndOpenedAgain(t *testing.T) {
	a := newAgent(t, io.Discard)
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	p := a.call("process_start", fmt.Sprintf(`{"command":"exec sh -c 'read x <%[1]s; echo back >/dev/tty; read x <%[1]s' </dev/null >/dev/null 2>&1","tty":{},"background":true}`, fifo))
	out, err := os.OpenFile(fifo, os.O_WRONLY, 0) // once it has let go
	if err != nil {
		t.Fatal(err)
	}
	before := cpuTime(t)
	r := a.call("process_output", fmt.Sprintf(`{"process_id":%q,"wait_ms":1000}`, p.ProcessID))
	if used := cpuTime(t) - before; !r.Running || proctest.Bounds() && used > 500*time.Millisecond {
		t.Errorf("%v of processor time for nothing: %s", used, r.text)
	}
	out.Close()
	if r := a.call("process_output", fmt.Sprintf(`{"process_id":%q,"wait_for":{"output_matches":"back"}}`, p.ProcessID)); r.WaitResult != "output_matches" {
		t.Errorf("got %s", r.text)
	}
}

func cpuTime(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// read reads a resource.
func (a *agent) read(uri, meta string) (text, mimeType string, failed *ReadError) {
	a.t.Helper()
	c := a.tools.Accept(request(a.t, "", "", meta))
	defer c.Done()
	if err := c.Turn(a.t.Context()); err != nil {
		a.t.Fatal(err)
	}
	return c.Read(uri)
}

// A client is told that its request is wrong only if it is.
func TestWhyAResourceIsNotRead(t *testing.T) {
	a := newAgent(t, io.Discard)
	a.tools.limits = newLimits(1, 0)
	if _, _, failed := a.read("proctor://processes", `{"coder.com/chat-id":7}`); failed == nil || !failed.Invalid || failed.NotFound {
		t.Errorf("an unclear chat: got %+v", failed)
	}
	if _, _, failed := a.read("proctor://processes/none/output", `{}`); failed == nil || failed.Invalid || !failed.NotFound {
		t.Errorf("no such process: got %+v", failed)
	}
	end, err := a.tools.limits.begin(procmgr.NoChat("test"), "test", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	if _, _, failed := a.read("proctor://processes", `{}`); failed == nil || failed.Invalid || failed.NotFound || !strings.Contains(failed.Text, "--max-calls-per-chat") {
		t.Errorf("too many calls: got %+v", failed)
	}
}

func TestResources(t *testing.T) {
	a := newAgent(t, io.Discard)
	p := a.call("process_start", `{"command":"echo \"said <this>\"","label":"here"}`)
	if text, mimeType, _ := a.read("proctor://processes", "{}"); !strings.Contains(text, `"label":"here"`) || mimeType != "application/json" {
		t.Errorf("got %s, %s", mimeType, text)
	}
	output := "proctor://processes/" + p.ProcessID + "/output"
	if text, mimeType, _ := a.read(output, "{}"); text != "said <this>\n" || mimeType != "text/plain" {
		t.Errorf("got %s, %s", mimeType, text)
	}
	// Another chat sees nothing of it.
	const other = `{"coder.com/chat-id":"another"}`
	if _, _, failed := a.read(output, other); failed == nil || !strings.Contains(failed.Text, "process_id: this chat has no such process") {
		t.Errorf("got %+v", failed)
	}
	if text, _, _ := a.read("proctor://processes", other); strings.Contains(text, "here") {
		t.Errorf("got %s", text)
	}
}
