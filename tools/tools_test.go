//go:build linux

package tools

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/proctor-mcp/proctor/caller"
	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/proctest"
	"github.com/proctor-mcp/proctor/schemas"
)

func TestMain(m *testing.M) { proctest.Main(m, nil) }

// agent calls tools as a transport does.
type agent struct {
	t     testing.TB
	tools *Tools
}

func newAgent(t testing.TB, log io.Writer) *agent {
	t.Helper()
	return newAgentWith(t, log, procmgr.Options{})
}

func newAgentWith(t testing.TB, log io.Writer, opts procmgr.Options) *agent {
	t.Helper()
	logger := slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	opts.Env.Inherit, opts.Grace = os.Environ(), 100*time.Millisecond
	if opts.Clock == nil {
		opts.Clock = proctest.PatientClock()
	}
	m := procmgr.New(opts)
	ts := New(Options{Manager: m, Rules: caller.DefaultRules(), Log: logger})
	t.Cleanup(func() {
		if _, err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
		ts.Close()
	})
	return &agent{t, ts}
}

type result struct {
	text    string
	isError bool
	schemas.StartResult
	Processes    []schemas.Process
	Survivors    []schemas.Survivor
	Lines        []schemas.Line
	OutputBase64 string          `json:"output_base64"`
	SearchDone   *bool           `json:"search_done"`
	GapBytes     int64           `json:"gap_bytes"`
	Screen       *schemas.Screen `json:"screen"`
	StillRunning []string        `json:"still_running"`
}

func (a *agent) call(tool, arguments string) result { return a.callWith(tool, arguments, "{}") }

// callWith calls a tool, checks the result against the tool's output schema and
// returns it.
func (a *agent) callWith(tool, arguments, meta string) result {
	a.t.Helper()
	if tool == "process_start" {
		proctest.NeedFor(a.t, arguments)
	}
	r := request(a.t, tool, arguments, meta)
	reply := a.tools.Call(context.Background(), r)
	got := result{text: reply.Text, isError: reply.Failed}
	if got.isError {
		return got
	}
	validate(a.t, tool, reply.Data)
	if err := json.Unmarshal(reply.Data, &got); err != nil {
		a.t.Fatal(err)
	}
	return got
}

// request returns a request as a transport would have read it.
func request(t testing.TB, tool, arguments, meta string) Request {
	t.Helper()
	r := Request{Tool: tool, Arguments: json.RawMessage(arguments), Identity: caller.Identity{Token: "test"}}
	if err := json.Unmarshal([]byte(meta), &r.Meta); err != nil {
		t.Fatal(err)
	}
	if token, ok := r.Meta["progressToken"]; ok {
		r.ProgressToken, _ = json.Marshal(token)
	}
	return r
}

func validate(t testing.TB, tool string, structured json.RawMessage) {
	t.Helper()
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemas.OutputSchema(tool)))
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(structured))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("test:schema", schema); err != nil {
		t.Fatal(err)
	}
	if err := c.MustCompile("test:schema").Validate(value); err != nil {
		t.Errorf("%s: result does not fit its schema: %v\n%s", tool, err, structured)
	}
}

func TestCutAmpersand(t *testing.T) {
	for command, want := range map[string]string{
		"server &": "server", "server&": "server", " a & b & \n": " a & b", "a && b &": "a && b",
	} {
		if got, cut := cutAmpersand(command); got != want || !cut {
			t.Errorf("%q: got %q, %v", command, got, cut)
		}
	}
	for _, command := range []string{"a && b", "a &&", "a |&", `echo \&`, "&", " & ", "echo '&'", "a & b", ""} {
		if got, cut := cutAmpersand(command); got != command || cut {
			t.Errorf("%q: got %q, %v", command, got, cut)
		}
	}
}

func TestForegroundGoesOnAfterItsWait(t *testing.T) {
	a := newAgent(t, io.Discard)
	fifo := t.TempDir() + "/fifo"
	r := a.call("process_start", `{"command":"mkfifo `+fifo+`; echo up; cat `+fifo+`; exit 7","wait_ms":1}`)
	if !r.Running || r.ExitCode != nil || !strings.Contains(r.text, "process_output waits for it") {
		t.Fatalf("got %+v", r)
	}
	proctest.Await(t, "the process to be up", func() bool {
		return a.call("process_output", `{"process_id":"`+r.ProcessID+`","wait_ms":0}`).Output == "up\n"
	})
	if err := os.WriteFile(fifo, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	r = a.call("process_output", `{"process_id":"`+r.ProcessID+`","wait_ms":50000}`)
	if r.Running || r.ExitCode == nil || *r.ExitCode != 7 || r.Output != "up\ngo\n" {
		t.Errorf("got %+v", r)
	}
}

func TestHugeOutputIsCountedExactly(t *testing.T) {
	a := newAgent(t, io.Discard)
	r := a.call("process_start", `{"command":`+quoted(proctest.Child("flood", "10000000"))+`,"wait_ms":50000}`)
	want := schemas.Truncated{OriginalBytes: 10_000_000, RetainedBytes: 32 << 10, OmittedBytes: 10_000_000 - 32<<10, Strategy: "head_tail"}
	if r.Truncated == nil || *r.Truncated != want || r.NextCursor != 10_000_000 {
		t.Errorf("got %+v", r.Truncated)
	}
}

func TestDroppedOutputIsReported(t *testing.T) {
	a := newAgentWith(t, io.Discard, procmgr.Options{Output: procmgr.OutputOptions{Memory: 48 << 10}})
	first := a.call("process_start", `{"command":`+quoted(proctest.Child("flood", "32768"))+`,"wait_ms":50000}`)
	a.call("process_start", `{"command":`+quoted(proctest.Child("flood", "32768"))+`,"wait_ms":50000}`)
	r := a.call("process_output", `{"process_id":"`+first.ProcessID+`"}`)
	want := schemas.Truncated{OriginalBytes: 32768, OmittedBytes: 32768, Strategy: "dropped"}
	if r.Truncated == nil || *r.Truncated != want || r.NextCursor != 32768 ||
		!strings.Contains(r.text, "exited with code 0") ||
		!strings.HasSuffix(r.text, "0 of 32768 bytes of output are shown.\n\n[… 32768 bytes no longer kept: all output together reached a limit of the server …]\n") {
		t.Errorf("got %+v in %s", r.Truncated, r.text)
	}
}

func TestLongWaitIsShortenedUnlessThereIsProgress(t *testing.T) {
	a := newAgent(t, io.Discard)
	if r := a.call("process_start", `{"command":"true","wait_ms":50000}`); len(r.Notes) != 0 {
		t.Errorf("got %v", r.Notes)
	}
	if r := a.call("process_start", `{"command":"true","wait_ms":50001}`); len(r.Notes) != 1 || !strings.Contains(r.text, "shortened to 50000") {
		t.Errorf("got %v", r.Notes)
	}
	if r := a.callWith("process_start", `{"command":"true","wait_ms":500000}`, `{"progressToken":1}`); len(r.Notes) != 0 {
		t.Errorf("with a progress token: got %v", r.Notes)
	}
}

func TestEndWaitsAnswersWithWhatThereIs(t *testing.T) {
	a := newAgent(t, io.Discard)
	answered := make(chan result, 1)
	go func() { answered <- a.call("process_start", `{"command":"exec sleep 100","wait_ms":50000}`) }()
	proctest.Await(t, "the process to run", func() bool {
		return len(a.call("process_list", `{}`).Processes) == 1
	})
	a.tools.EndWaits()
	if r := <-answered; !r.Running {
		t.Errorf("got %+v", r)
	}
	if r := a.call("process_start", `{"command":"exec sleep 100","wait_ms":50000}`); !r.Running {
		t.Errorf("a later call: got %+v", r)
	}
}

func TestSurvivorsAreNamed(t *testing.T) {
	a := newAgent(t, io.Discard)
	r := a.call("process_start", `{"command":`+quoted(proctest.Child("ignore-term"))+`,"background":true}`)
	proctest.Await(t, "ready", func() bool {
		return a.call("process_output", `{"process_id":"`+r.ProcessID+`","wait_ms":0}`).Output == "ready\n"
	})
	r = a.call("process_signal", `{"process_id":"`+r.ProcessID+`","signal":"terminate","wait_ms":1}`)
	if !r.Running || r.State != "stopping" || len(r.Survivors) != 1 || r.Survivors[0].Pid == 0 || !strings.Contains(r.text, "still alive: pid") {
		t.Errorf("got %+v", r)
	}
	r = a.call("process_signal", `{"all":true,"signal":"kill","wait_ms":50000}`)
	if r.Running || len(r.Survivors) != 0 || len(r.Processes) != 1 || *r.Processes[0].Signal != "SIGKILL" {
		t.Errorf("got %+v", r)
	}
}

func TestRecordsCarryChatAndToolCall(t *testing.T) {
	records := &logged{}
	a := newAgent(t, records)
	a.callWith("process_start", `{"command":"echo secret"}`, `{"coder.com/chat-id":"c1","claudecode/toolUseId":"use1"}`)
	// The last record can come after the answer.
	proctest.Await(t, "the record of the end", func() bool { return strings.Contains(records.String(), "process ended") })
	log := records.String()
	n := 0
	for line := range strings.Lines(log) {
		n++
		if strings.Count(line, `"chat_id":"c1"`) != 1 || !strings.Contains(line, `"tool_call_id":"use1"`) || !strings.Contains(line, `"process_id":`) {
			t.Errorf("incomplete record: %s", line)
		}
		if strings.Contains(line, "secret") {
			t.Errorf("a command above debug level: %s", line)
		}
	}
	if n != 2 { // started, ended
		t.Errorf("%d records:\n%s", n, log)
	}
}

// logged is a log that can be read while it is written.
type logged struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestToolsWorkInADeletedDirectory(t *testing.T) {
	dir := t.TempDir() + "/gone"
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if r := newAgent(t, io.Discard).call("process_start", `{"command":"true"}`); r.isError {
		t.Errorf("got %s", r.text)
	}
}

func TestListsStaySmall(t *testing.T) {
	a := newAgent(t, io.Discard)
	r := a.call("process_start", `{"command":": `+strings.Repeat("x", 100_000)+`","label":"one\ntwo\u001b[31m"}`)
	if len(r.Command) < 100_000 {
		t.Errorf("the command was cut to %d bytes", len(r.Command))
	}
	r = a.call("process_list", `{}`)
	if n := len(r.Processes[0].Command); n > 2100 || strings.ContainsAny(r.text, "\x1b") || strings.Count(r.text, "\n") != 1 {
		t.Errorf("%d bytes of command, text %q", n, r.text)
	}
}

func TestInvalidUnicodeIsRefused(t *testing.T) {
	a := newAgent(t, io.Discard)
	for _, command := range []string{`\ud800`, `\udc00\ud800`, "\xff", `\ud83d\n`} {
		if r := a.call("process_start", `{"command":"echo `+command+`"}`); !r.isError || !strings.Contains(r.text, "not valid Unicode") {
			t.Errorf("%q: got %s", command, r.text)
		}
	}
	if r := a.call("process_start", `{"command":"echo \\\\ud800 \ud83d\ude00"}`); r.isError || !strings.Contains(r.Command, "😀") {
		t.Errorf("got %s", r.text)
	}
}

func TestCallsOfAChatAreLimited(t *testing.T) {
	a := newAgent(t, io.Discard)
	a.tools.limits = newLimits(1, 3)
	waiting := func(chat string) chan result {
		answered := make(chan result, 1)
		before := a.tools.Calls()
		go func() {
			answered <- a.callWith("process_start", `{"command":"exec sleep 100","wait_ms":50000}`, `{"coder.com/chat-id":"`+chat+`"}`)
		}()
		proctest.Await(t, "the call to wait", func() bool { return a.tools.Calls() == before+1 })
		return answered
	}
	refused := func(chat, flag string) {
		t.Helper()
		r := a.callWith("process_start", `{"command":"true"}`, `{"coder.com/chat-id":"`+chat+`"}`)
		if !r.isError || !strings.Contains(r.text, flag) || !strings.Contains(r.text, "Nothing was started. Try again when") {
			t.Errorf("chat %s: got %s", chat, r.text)
		}
	}
	calls := []chan result{waiting("a")}
	refused("a", "--max-calls-per-chat")
	if r := a.callWith("process_signal", `{"process_id":"nobody","signal":"kill"}`, `{"coder.com/chat-id":"a"}`); !strings.Contains(r.text, "no such process") {
		t.Errorf("a chat at its limit cannot end its processes: %s", r.text)
	}
	calls = append(calls, waiting("b"), waiting("c"))
	refused("d", "--max-calls-per-token")
	a.tools.EndWaits()
	for _, answered := range calls {
		<-answered
	}
	if r := a.callWith("process_start", `{"command":"true"}`, `{"coder.com/chat-id":"a"}`); r.isError || a.tools.Calls() != 0 {
		t.Errorf("afterwards: got %s, %d calls", r.text, a.tools.Calls())
	}
}

func TestRunningProcessesAreLimited(t *testing.T) {
	a := newAgentWith(t, io.Discard, procmgr.Options{MaxRunningPerScope: 1, MaxRunning: 2})
	start := func(chat string) result {
		return a.callWith("process_start", `{"command":"exec sleep 100","background":true}`, `{"coder.com/chat-id":"`+chat+`"}`)
	}
	own, others := start("a"), start("b")
	if own.isError || others.isError {
		t.Fatalf("got %s and %s", own.text, others.text)
	}
	const all = "All chats together run 2 processes, the most that --max-running allows. Nothing was started. "
	if got, want := start("a").text, "This chat runs 1 processes, the most that --max-running-per-chat allows. Nothing was started. End one with process_signal, or wait for one with process_output; the longest running is "+own.ProcessID+" (exec sleep 100)."; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if got, want := start("c").text, all+"This chat has none to end: try again later."; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	a.callWith("process_signal", `{"process_id":"`+own.ProcessID+`","signal":"kill","wait_ms":50000}`, `{"coder.com/chat-id":"a"}`)
	if r := start("c"); r.isError {
		t.Errorf("after an end: got %s", r.text)
	}
}

func TestTraceContextReachesTheChild(t *testing.T) {
	records := &logged{}
	a := newAgent(t, records)
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	meta := `{"traceparent":"` + parent + `","tracestate":"k=v"}`
	r := a.callWith("process_start", `{"command":"echo $TRACEPARENT $TRACESTATE","request_id":"r"}`, meta)
	if r.ProcessOutput.Output != parent+" k=v\n" || !strings.Contains(records.String(), parent) {
		t.Errorf("got %q and the log %s", r.ProcessOutput.Output, records)
	}
	// A retry has another span, and is the same request nevertheless.
	if again := a.callWith("process_start", `{"command":"echo $TRACEPARENT $TRACESTATE","request_id":"r"}`, `{}`); !again.Attached {
		t.Errorf("got %s", again.text)
	}
	for _, bad := range []string{"", "x", "00-" + strings.Repeat("0", 32) + "-b7ad6b7169203331-01", parent + "\\n", strings.ToUpper(parent)} {
		if r := a.callWith("process_start", `{"command":"echo ${TRACEPARENT-none}"}`, `{"traceparent":"`+bad+`"}`); r.ProcessOutput.Output != "none\n" {
			t.Errorf("%q: got %q", bad, r.ProcessOutput.Output)
		}
	}
}

func TestUnclearChatIsRefused(t *testing.T) {
	a := newAgent(t, io.Discard)
	r := a.callWith("process_start", `{"command":"true"}`, `{"coder.com/chat-id":"a b"}`)
	if !r.isError || !strings.Contains(r.text, "coder.com/chat-id") || !strings.Contains(r.text, "Nothing was started") {
		t.Errorf("got %+v", r)
	}
}

func TestPanicIsAnsweredPlainly(t *testing.T) {
	var log bytes.Buffer
	ts := New(Options{Manager: procmgr.New(procmgr.Options{}), Rules: caller.DefaultRules(), Log: slog.New(slog.NewTextHandler(&log, nil))})
	ts.handlers["process_list"] = func(context.Context, *Call) (answer, error) { panic("private") }
	a := &agent{t, ts}
	r := a.call("process_list", `{}`)
	if !r.isError || strings.Contains(r.text, "private") || !strings.Contains(log.String(), "private") || !strings.Contains(log.String(), "tools_test.go") {
		t.Errorf("got %q and the log %s", r.text, &log)
	}
}

func quoted(s string) string {
	text, _ := json.Marshal(s)
	return string(text)
}

// FuzzArguments looks for arguments that crash the server, that it neither accepts nor
// refuses with a text, or that it accepts beyond the limits.
func FuzzArguments(f *testing.F) {
	for _, text := range []string{
		`{}`, `null`, ``, `[]`, `{"command":"true"}`, `{"command":1}`, `{"wait_ms":1e400}`, `{"command":"x","wait_ms":1e999999999}`, `{"command":"x","wait_ms":1e-999999999}`, `{"wait_ms":5.0,"command":"x"}`,
		`{"command":"x","env":{"A":"b"},"env":{"A":1}}`, `{"command":"x","wait_ms":-0}`, `{"command":"\ud800"}`,
		`{"command":"x"}{}`, `{"process_id":"x","signal":"kill"}`, `{"limit":99999999999999999999}`, `{"Command":"x"}`, `{"&{":"9#7"}`,
	} {
		f.Add(text)
	}
	start, signal := newArguments("process_start"), newArguments("process_signal")
	f.Fuzz(func(t *testing.T, text string) {
		var in schemas.StartInput
		if err := start.decode(json.RawMessage(text), &in); err == nil {
			if in.Command == "" || in.WaitMS != nil && (*in.WaitMS < 0 || *in.WaitMS > 300_000) || in.TimeoutMS < 0 || len([]rune(in.Label)) > 200 {
				t.Errorf("accepted %q as %+v", text, in)
			}
		} else if w := words("process_start", err); !strings.Contains(w, "Nothing was started") || len(w) > 20_000 ||
			strings.Contains(w, "&{") && !strings.ContainsAny(text, `&\`) { // no struct of Go, unless the name of an argument looks like one
			t.Errorf("refused %q with %q", text, w)
		}
		var sig schemas.SignalInput
		if err := signal.decode(json.RawMessage(text), &sig); err == nil {
			if sig.Signal != "terminate" && sig.Signal != "kill" {
				t.Errorf("accepted %q as %+v", text, sig)
			}
		}
	})
}

// A list measures processes only on request.
func TestAListShowsUsageOnRequest(t *testing.T) {
	a := newAgent(t, io.Discard)
	r := a.call("process_start", `{"command":"sleep 300 & exec sleep 300","background":true}`)
	proctest.Await(t, "two processes", func() bool {
		listed := a.call("process_list", `{"usage":true}`)
		u := listed.Processes[0].Usage
		return u != nil && *u.Processes == 2 && *u.RSSBytes > 100<<10 && strings.Contains(listed.text, " in 2 processes")
	})
	if u := a.call("process_list", `{}`).Processes[0].Usage; u != nil {
		t.Errorf("unasked: %+v", u)
	}
	a.call("process_signal", `{"process_id":"`+r.ProcessID+`","signal":"kill","wait_ms":50000}`)
	u := a.call("process_list", `{"usage":true}`).Processes[0].Usage
	if u == nil || *u.Processes != 0 || *u.RSSBytes != 0 {
		t.Errorf("ended: %+v", u)
	}
}

// A list that measures names the ports that processes listen on.
func TestAListShowsPortsOnRequest(t *testing.T) {
	a := newAgent(t, io.Discard)
	r := a.call("process_start", `{"command":`+quoted(proctest.Child("http"))+`,"background":true}`)
	var port int
	proctest.Await(t, "it listens", func() bool {
		_, err := fmt.Sscanf(a.call("process_output", `{"process_id":"`+r.ProcessID+`","wait_ms":0}`).Output, "http://127.0.0.1:%d", &port)
		return err == nil
	})
	listed := a.call("process_list", `{"usage":true}`)
	if got := listed.Processes[0].Ports; !slices.Equal(got, []schemas.Port{{Port: port, Address: "127.0.0.1"}}) {
		t.Errorf("got %v, want %d", got, port)
	}
	if want := fmt.Sprintf(" in 1 process, listens on %d  ", port); !strings.Contains(listed.text, want) {
		t.Errorf("no %q in %q", want, listed.text)
	}
	if got := a.call("process_list", `{}`); got.Processes[0].Ports != nil || strings.Contains(got.text, "listens") {
		t.Errorf("unasked: %v, %q", got.Processes[0].Ports, got.text)
	}
	a.call("process_signal", `{"process_id":"`+r.ProcessID+`","signal":"kill","wait_ms":50000}`)
	if got := a.call("process_list", `{"usage":true}`).Processes[0].Ports; got != nil {
		t.Errorf("ended: %v", got)
	}
}

func TestManyPortsAreCut(t *testing.T) {
	var list []procmgr.Port
	for port := range 100 {
		list = append(list, procmgr.Port{Port: 1 + port, Address: "127.0.0.1"}, procmgr.Port{Port: 1 + port, Address: "::1"})
	}
	if got := ports(list); len(got) != 64 || got[63].Port != 32 {
		t.Errorf("got %v", got)
	}
	if got, want := portNumbers(list), "1, 2, 3, 4, 5, 6, 7, 8 and 92 more"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := portNumbers(list[:3]); got != "1, 2" {
		t.Errorf("got %q", got)
	}
}
