//go:build linux

package tools

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/proctest"
	"github.com/proctor-mcp/proctor/schemas"
)

// fifo makes a named pipe, and returns its path and a function that writes a line to it.
func fifo(t *testing.T) (path string, write func(line string)) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, func(line string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(line), 0); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWaitForALine(t *testing.T) {
	a := newAgent(t, io.Discard)
	gate, open := fifo(t)
	r := a.call("process_start", `{"command":"echo booting; echo ready on port 7; exec sleep 100","wait_for":{"output_matches":"ready on port \\d+$"}}`)
	want := schemas.Matched{Text: "ready on port 7", Cursor: 8, Line: 2}
	if r.WaitResult != "output_matches" || r.Matched == nil || *r.Matched != want || !r.Running || !strings.Contains(r.text, "Matched at cursor 8: \"ready on port 7\".") {
		t.Errorf("got %+v %+v\n%s", r.Waited, r.Matched, r.text)
	}
	// A line that was written long before counts, but not one before the cursor.
	if r := a.call("process_output", `{"process_id":"`+r.ProcessID+`","wait_for":{"output_matches":"booting"}}`); r.WaitResult != "output_matches" {
		t.Errorf("got %+v", r.Waited)
	}
	if r := a.call("process_output", `{"process_id":"`+r.ProcessID+`","cursor":3,"wait_ms":50,"wait_for":{"output_matches":"^booting"}}`); r.WaitResult != "timeout" || !strings.Contains(r.text, "did not come true within wait_ms") {
		t.Errorf("got %+v\n%s", r.Waited, r.text)
	}
	// A prompt has no newline. A line that comes in the last moment counts before the exit.
	if r := a.call("process_start", `{"command":"printf \"name? \"; exec sleep 100","wait_for":{"output_matches":"name\\? $"}}`); r.WaitResult != "output_matches" {
		t.Errorf("got %+v", r.Waited)
	}
	if r := a.call("process_start", `{"command":"echo done","wait_for":{"output_matches":"done"}}`); r.WaitResult != "output_matches" {
		t.Errorf("got %+v", r.Waited)
	}
	if r := a.call("process_start", `{"command":"exit 3","wait_for":{"output_matches":"never"}}`); r.WaitResult != "exited" || *r.ExitCode != 3 {
		t.Errorf("got %+v", r.Waited)
	}
	// A line comes in two pieces, with colours.
	p := a.call("process_start", `{"command":"printf \"\\033[1mser\"; read x < `+gate+`; printf \"ver\\033[0m up\\n\"; exec sleep 100","background":true}`)
	answer := make(chan result)
	go func() {
		answer <- a.call("process_output", `{"process_id":"`+p.ProcessID+`","wait_for":{"output_matches":"^server up$"}}`)
	}()
	open("go\n")
	if r := <-answer; r.WaitResult != "output_matches" || r.Matched.Text != "server up" {
		t.Errorf("got %+v", r.Waited)
	}
}

func TestWaitForOutputAndSilence(t *testing.T) {
	a := newAgent(t, io.Discard)
	gate, open := fifo(t)
	p := a.call("process_start", `{"command":"echo first; read x < `+gate+`; echo second; exec sleep 100","wait_for":{"output_matches":"first"}}`)
	p = a.call("process_output", `{"process_id":"`+p.ProcessID+`","wait_for":{"idle_ms":50}}`)
	if p.WaitResult != "idle" || p.ProcessOutput.Output != "first\n" {
		t.Errorf("got %+v %q", p.Waited, p.ProcessOutput.Output)
	}
	answer := make(chan result)
	go func() {
		answer <- a.call("process_output", fmt.Sprintf(`{"process_id":%q,"cursor":%d,"wait_for":{"new_output":true}}`, p.ProcessID, p.NextCursor))
	}()
	open("go\n")
	if r := <-answer; r.WaitResult != "new_output" || r.ProcessOutput.Output != "second\n" || r.Cursor != p.NextCursor {
		t.Errorf("got %+v %q", r.Waited, r.ProcessOutput.Output)
	}
	// All output behind cursor 0 is new, and all output of a process that starts.
	if r := a.call("process_output", `{"process_id":"`+p.ProcessID+`","cursor":0,"wait_for":{"new_output":true}}`); r.WaitResult != "new_output" {
		t.Errorf("got %+v", r.Waited)
	}
	if r := a.call("process_start", `{"command":"echo at once; exec sleep 100","wait_for":{"new_output":true}}`); r.WaitResult != "new_output" {
		t.Errorf("got %+v", r.Waited)
	}
}

// A wait or a search that finds nothing ends, however costly the pattern is.
func TestCostlyPattern(t *testing.T) {
	a := newAgent(t, io.Discard)
	costly := strings.Repeat("(?:a?){240}", 2) + "[c-z]"
	p := a.call("process_start", `{"command":"head -c 3000000 /dev/zero | tr '\\0' a | fold -w 6000; echo ready; exec sleep 100","wait_for":{"output_matches":"ready"}}`)
	const wait = 300 * time.Millisecond
	begin := time.Now()
	r := a.call("process_output", fmt.Sprintf(`{"process_id":%q,"wait_ms":%d,"wait_for":{"output_matches":%q}}`, p.ProcessID, wait.Milliseconds(), costly))
	late := time.Since(begin) - wait // clock: told, and demanded with -bounds
	t.Logf("it ends %v late", late)
	if r.WaitResult != "timeout" || proctest.Bounds() && late > 10*time.Second {
		t.Errorf("%+v, %v late", r.Waited, late)
	}
	r = a.call("process_output", fmt.Sprintf(`{"process_id":%q,"search":{"pattern":%q}}`, p.ProcessID, costly))
	if r.SearchDone == nil || *r.SearchDone || !strings.Contains(r.text, "go on with search.cursor") {
		t.Errorf("got %s", r.text)
	}
}

func TestWaitForAPortAndAURL(t *testing.T) {
	proctest.Need(t, "python3")
	a := newAgent(t, io.Discard)
	// Somebody else's server on the port does not count.
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := http.Server{Handler: http.NotFoundHandler()}
	go served.Serve(other)
	t.Cleanup(func() { served.Close() })
	taken := other.Addr().(*net.TCPAddr).Port
	r := a.call("process_start", `{"command":"exec sleep 100","background":true}`)
	wait := fmt.Sprintf(`{"process_id":%q,"wait_ms":200,"wait_for":{"port_open":%d,"http_ok":"http://127.0.0.1:%d/"}}`, r.ProcessID, taken, taken)
	proctest.Await(t, "both are tried", func() bool { // 200 ms may be too few for that
		r = a.call("process_output", wait)
		return r.WaitResult != "timeout" || strings.Contains(r.text, "The last try of the URL: answered with status 404.")
	})
	if r.WaitResult != "timeout" || !strings.Contains(r.text, fmt.Sprintf("Port %d is open, but not by this process", taken)) {
		t.Errorf("somebody else's server: got %s", r.text)
	}
	welcoming := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(welcoming.Close)
	if r := a.call("process_start", `{"command":"exec sleep 100","wait_for":{"http_ok":"`+welcoming.URL+`"}}`); r.WaitResult != "http_ok" || !strings.Contains(r.text, "another server has answered") {
		t.Errorf("somebody else's server: got %s", r.text)
	}
	port, dir := proctest.Port(t), t.TempDir()
	r = a.call("process_start", fmt.Sprintf(`{"command":"exec python3 -m http.server --bind 127.0.0.1 %d","workdir":%q,"background":true,"wait_for":{"port_open":%d}}`, port, dir, port))
	if r.WaitResult != "port_open" || !strings.Contains(r.text, "The port is open.") {
		t.Errorf("got %+v\n%s", r.Waited, r.text)
	}
	r = a.call("process_output", fmt.Sprintf(`{"process_id":%q,"wait_for":{"http_ok":"http://localhost:%d/"}}`, r.ProcessID, port))
	if r.WaitResult != "http_ok" {
		t.Errorf("got %+v\n%s", r.Waited, r.text)
	}
	if list := a.call("process_list", `{"state":"running","usage":true}`); !strings.Contains(list.text, fmt.Sprintf("listens on %d", port)) {
		t.Errorf("got %s", list.text)
	}
}

func TestPartsOfAnOutput(t *testing.T) {
	a := newAgentWith(t, io.Discard, procmgr.Options{Output: procmgr.OutputOptions{Dir: filepath.Join(t.TempDir(), "output")}})
	p := a.call("process_start", `{"command":"seq 100000; printf '1%%\\r2%%\\r\\033[32m100%%\\033[0m\\nerror: no such thing\\nthe end\\n'","wait_ms":50000}`)
	size := int64(588895 + 20 + 21 + 8)
	if p.Truncated == nil || p.NextCursor != size {
		t.Fatalf("%d bytes, want %d; %+v", p.NextCursor, size, p.Truncated)
	}
	ask := func(format string, args ...any) result {
		t.Helper()
		r := a.call("process_output", `{"process_id":"`+p.ProcessID+`",`+fmt.Sprintf(format, args...)+`}`)
		if r.isError {
			t.Fatal(r.text)
		}
		return r
	}
	if r := ask(`"tail_lines":3`); r.ProcessOutput.Output != "100%\nerror: no such thing\nthe end\n" || !strings.HasSuffix(r.text, r.ProcessOutput.Output) {
		t.Errorf("the tail is %q", r.ProcessOutput.Output)
	}
	// The cursor reads all of it, byte by byte.
	var all strings.Builder
	for cursor := int64(0); cursor < size; {
		r := ask(`"cursor":%d,"max_bytes":65536,"strip_ansi":false`, cursor)
		if r.Cursor != cursor || r.NextCursor != cursor+int64(len(r.ProcessOutput.Output)) {
			t.Fatalf("at %d: %d bytes to %d", cursor, len(r.ProcessOutput.Output), r.NextCursor)
		}
		all.WriteString(r.ProcessOutput.Output)
		cursor = r.NextCursor
	}
	if text := all.String(); int64(len(text)) != size || !strings.Contains(text, "\n99999\n100000\n1%\r2%\r\x1b[32m100%") {
		t.Errorf("%d bytes, %q", len(text), text[len(text)-60:])
	}
	if r := ask(`"cursor":%d`, size); r.ProcessOutput.Output != "" || !strings.Contains(r.text, "Nothing new after cursor") {
		t.Errorf("got %s", r.text)
	}
	r := ask(`"search":{"pattern":"ERROR","ignore_case":true,"before":1,"after":1}`)
	want := []schemas.Line{
		{Text: "100%", Cursor: 588895, Line: 100001},
		{Text: "error: no such thing", Cursor: 588895 + 20, Line: 100002, Match: true},
		{Text: "the end", Cursor: 588895 + 41, Line: 100003},
	}
	if fmt.Sprint(r.Lines) != fmt.Sprint(want) || !strings.Contains(r.text, "100002@588915: error: no such thing\n") {
		t.Errorf("got %+v\n%s", r.Lines, r.text)
	}
	if r := ask(`"search":{"pattern":"^7777\\d$","max_matches":3}`); len(r.Lines) != 3 || r.Lines[0].Line != 77770 || !strings.Contains(r.text, "go on with search.cursor") {
		t.Errorf("got %+v\n%s", r.Lines, r.text)
	}
	// With the lines around each match, no match is lost between two answers.
	var found []int64
	for cursor, done := int64(0), false; !done; {
		r := ask(`"search":{"pattern":"^1234.$","after":2,"before":1,"max_matches":1,"cursor":%d}`, cursor)
		for _, l := range r.Lines {
			if l.Match {
				found = append(found, l.Line)
			}
		}
		cursor, done = r.NextCursor, *r.SearchDone
	}
	if fmt.Sprint(found) != "[12340 12341 12342 12343 12344 12345 12346 12347 12348 12349]" {
		t.Errorf("matches in %v", found)
	}
	if r := ask(`"search":{"pattern":"not there"}`); len(r.Lines) != 0 || !strings.HasSuffix(r.text, "Nothing found.") {
		t.Errorf("got %s", r.text)
	}
}

// Searches and waits report how many bytes were discarded before they could look at them.
func TestDiscardedBytesAreCounted(t *testing.T) {
	a := newAgentWith(t, io.Discard, procmgr.Options{Output: procmgr.OutputOptions{Dir: filepath.Join(t.TempDir(), "output"), Max: 2 << 20}})
	p := a.call("process_start", `{"command":"seq 1000000","wait_ms":50000}`)
	const size, kept = 6888896, 2 << 20
	if r := a.call("process_output", `{"process_id":"`+p.ProcessID+`","search":{"pattern":"^500000$"}}`); r.GapBytes != size-kept ||
		!strings.Contains(r.text, fmt.Sprintf("Nothing found. %d bytes are no longer kept and were not looked at.", size-kept)) {
		t.Errorf("%d bytes; %s", r.GapBytes, r.text)
	}
	if r := a.call("process_output", `{"process_id":"`+p.ProcessID+`","wait_for":{"output_matches":"^500000$"}}`); r.WaitResult != "exited" || !strings.Contains(r.text, fmt.Sprintf("%d bytes were discarded", size-kept)) {
		t.Errorf("got %s", r.text)
	}
}

// If the output folder cannot be written, answers say that output is lost.
func TestNoOutputFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for dir, why := range map[string]string{file: "is not a directory", "": "no folder", "/proc/proctor": "no such file or directory"} {
		a := newAgentWith(t, io.Discard, procmgr.Options{Output: procmgr.OutputOptions{Dir: dir}})
		if r := a.call("process_start", `{"command":"seq 100000","wait_ms":50000}`); !strings.Contains(r.text, "cannot write to its --output-dir") || !strings.Contains(r.text, why) {
			t.Errorf("%s: %s", dir, r.text)
		}
		if r := a.call("process_start", `{"command":"seq 10000","wait_ms":50000}`); len(r.Remarks.Notes) != 0 {
			t.Errorf("%s: %s", dir, r.text)
		}
	}
}

func TestBinaryOutput(t *testing.T) {
	a := newAgent(t, io.Discard)
	for _, command := range []string{`head -c 3000 /dev/urandom | tr -d '\\0'`, "cat /bin/true", `printf '\\351t\\351'`, `seq 2000; printf '\\0\\0\\0'`} {
		p := a.call("process_start", `{"command":"`+command+`"}`)
		tail := a.call("process_output", `{"process_id":"`+p.ProcessID+`","tail_lines":3}`)
		if p.Binary == nil || p.ProcessOutput.Output != "" || p.Truncated != nil || tail.Binary == nil || tail.ProcessOutput.Output != "" ||
			tail.Binary.Bytes == 0 || tail.Binary.Bytes != tail.NextCursor-tail.Cursor || tail.NextCursor != p.NextCursor || p.Binary.Kind == "text/plain; charset=utf-8" {
			t.Errorf("%s: got %s\n%s", command, p.text, tail.text)
		}
	}
	p := a.call("process_start", `{"command":"head -c 5000 /dev/zero | gzip -c"}`)
	if p.Binary == nil || p.Binary.Kind != "application/gzip" || p.ProcessOutput.Output != "" || !strings.Contains(p.text, "not text but application/gzip") {
		t.Fatalf("got %+v\n%s", p.Binary, p.text)
	}
	r := a.call("process_output", `{"process_id":"`+p.ProcessID+`","cursor":0,"base64":true}`)
	if b, err := base64.StdEncoding.DecodeString(r.OutputBase64); err != nil || int64(len(b)) != p.NextCursor || b[0] != 0x1f || b[1] != 0x8b {
		t.Errorf("got %q, %v", r.OutputBase64, err)
	}
}

// Base64 begins at the beginning of the text, and remarks come after it.
func TestBase64BehindAGap(t *testing.T) {
	a := newAgent(t, io.Discard)
	p := a.call("process_start", `{"command":"yes | head -c 20000000"}`)
	r := a.call("process_output", `{"process_id":"`+p.ProcessID+`","cursor":2000000,"max_bytes":300,"base64":true}`)
	if first, after, _ := strings.Cut(r.text, "\n[… "); !strings.HasSuffix(first, r.OutputBase64) || r.GapBytes == 0 || !strings.HasPrefix(after, fmt.Sprintf("%d bytes are no longer kept", r.GapBytes)) {
		t.Errorf("gap %d: %s", r.GapBytes, r.text)
	}
}

// An agent sees the last state of a progress bar that a build overwrites.
func TestProgressBar(t *testing.T) {
	a := newAgent(t, io.Discard)
	r := a.call("process_start", `{"command":"for i in $(seq 500); do printf '\\r\\033[32m[%3d/500]\\033[0m compiling file_%d.c\\033[K' $i $((i * 7)); done; printf '\\nlinking\\b\\b\\bed\\033[K\\n'"}`)
	if r.ProcessOutput.Output != "[500/500] compiling file_3500.c\nlinked\n" || r.Truncated != nil {
		t.Errorf("got %q, %+v", r.ProcessOutput.Output, r.Truncated)
	}
}

// Many readers follow fast output by cursor: each gets every line, and only the last
// answer is empty.
func TestManyReadersFollow(t *testing.T) {
	proctest.Need(t, "python3")
	a := newAgent(t, io.Discard)
	const readers, lines = 50, 10_000 // in a second
	p := a.call("process_start", `{"background":true,"command":"exec python3 -c 'import time\nfor i in range(`+fmt.Sprint(lines)+`):\n if i % 100 == 0: time.sleep(0.01)\n print(i, flush=True)'"}`)
	var want strings.Builder
	for i := range lines {
		fmt.Fprintln(&want, i)
	}
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			var got strings.Builder
			for cursor, running := int64(0), true; running; {
				r := a.call("process_output", fmt.Sprintf(`{"process_id":%q,"cursor":%d,"max_bytes":65536,"wait_for":{"new_output":true}}`, p.ProcessID, cursor))
				if r.isError || r.Cursor != cursor || r.Running && r.NextCursor == cursor {
					t.Errorf("at %d: %s", cursor, r.text)
					return
				}
				got.WriteString(r.ProcessOutput.Output)
				cursor, running = r.NextCursor, r.Running
			}
			if got.String() != want.String() {
				t.Errorf("%d bytes, want %d", got.Len(), want.Len())
			}
		})
	}
	all.Wait()
}

func TestWaitForSeveral(t *testing.T) {
	a := newAgent(t, io.Discard)
	if r := a.call("process_wait", `{}`); len(r.Processes) != 0 || !strings.Contains(r.text, "No command of this chat runs") {
		t.Errorf("got %s", r.text)
	}
	left := a.call("process_start", `{"command":"(sleep 100 >/dev/null 2>&1 &)"}`)
	if r := a.call("process_wait", `{}`); left.Descendants != nil && *left.Descendants > 0 && !strings.Contains(r.text, "Descendants of 1 that have ended still live") {
		t.Errorf("got %s", r.text)
	}
	a.call("process_signal", `{"all":true,"signal":"kill"}`)
	gate, open := fifo(t)
	first := a.call("process_start", `{"command":"read x < `+gate+`; echo said $x; exit 4","background":true}`)
	second := a.call("process_start", `{"command":"echo on; exec sleep 100","background":true,"wait_for":{"output_matches":"on"}}`)
	answer := make(chan result)
	go func() { answer <- a.call("process_wait", `{}`) }()
	open("go\n")
	r := <-answer
	if len(r.Processes) != 2 || len(r.StillRunning) != 1 || r.StillRunning[0] != second.ProcessID ||
		!strings.Contains(r.text, first.ProcessID+": exited with code 4") || !strings.Contains(r.text, "said go") || !strings.Contains(r.text, "\n  on") {
		t.Errorf("got %s", r.text)
	}
	if r := a.call("process_wait", `{"process_ids":["`+first.ProcessID+`","`+second.ProcessID+`"],"mode":"all","wait_ms":50}`); len(r.StillRunning) != 1 {
		t.Errorf("got %s", r.text)
	}
	a.call("process_signal", `{"process_id":"`+second.ProcessID+`","signal":"kill"}`)
	if r := a.call("process_wait", `{"process_ids":["`+first.ProcessID+`","`+second.ProcessID+`"],"mode":"all"}`); len(r.StillRunning) != 0 || len(r.Processes) != 2 {
		t.Errorf("got %s", r.text)
	}
	var ids []string
	for range 20 {
		p := a.call("process_start", `{"command":"for i in 1 2 3 4 5; do printf '%2000d\\n' $i; done","background":true}`)
		ids = append(ids, p.ProcessID)
	}
	if r := a.call("process_wait", `{"mode":"all","wait_ms":50000,"process_ids":["`+strings.Join(ids, `","`)+`"]}`); len(r.text) > lastText+20*300 || !strings.HasPrefix(r.text, "20 of 20 have ended.\n") {
		t.Errorf("%d bytes: %.100s", len(r.text), r.text)
	}
	if r := a.call("process_wait", `{"process_ids":["nobody"]}`); !r.isError || !strings.Contains(r.text, "process_ids: this chat has no process \"nobody\"") {
		t.Errorf("got %s", r.text)
	}
}

// The next answer, whatever it is about, reports a process that ended unseen, and only it
// does.
func TestNotices(t *testing.T) {
	a := newAgent(t, io.Discard)
	gone := func(ids ...string) {
		t.Helper()
		for _, id := range ids {
			h, err := a.tools.manager.In(procmgr.NoChat("test")).Find(id)
			if err != nil {
				t.Fatal(err)
			}
			if err := h.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	gate, open := fifo(t)
	p := a.call("process_start", `{"command":"read x < `+gate+`; exit 5","background":true}`)
	if len(p.Notices) != 0 {
		t.Errorf("got %v", p.Notices)
	}
	open("go\n")
	gone(p.ProcessID)
	r := a.call("process_start", `{"command":"true"}`)
	if len(r.Notices) != 1 || !strings.Contains(r.Notices[0], p.ProcessID+" has exited with code 5") || !strings.HasPrefix(r.text, "Notice: "+r.Notices[0]+"\n") {
		t.Errorf("got %v\n%s", r.Notices, r.text)
	}
	if r := a.call("process_list", `{}`); len(r.Notices) != 0 {
		t.Errorf("told twice: %v", r.Notices)
	}
	var ids []string
	for range 8 {
		ids = append(ids, a.call("process_start", `{"command":"true","background":true}`).ProcessID)
	}
	gone(ids...)
	told := map[string]bool{}
	r = a.call("process_output", `{"process_id":"`+p.ProcessID+`"}`)
	for _, n := range r.Notices {
		told[n] = true
	}
	// Some may have ended before a later start, whose answer has reported them.
	if n := len(told); n > 6 {
		t.Errorf("%d notices: %v", n, r.Notices)
	}
	if r := a.call("process_output", `{"process_id":"`+p.ProcessID+`"}`); len(r.Notices) != 0 {
		t.Errorf("told twice: %v", r.Notices)
	}
}

// The third look at a process that writes nothing is answered with how to wait for it.
func TestRepeatedLooksAreToldHowToWait(t *testing.T) {
	a := newAgent(t, io.Discard)
	p := a.call("process_start", `{"command":"echo once; exec sleep 100","wait_for":{"output_matches":"once"}}`)
	look := func() string {
		return a.call("process_output", `{"process_id":"`+p.ProcessID+`","wait_ms":0}`).text
	}
	if text := look(); !strings.Contains(text, "nothing new since the last look") || strings.Contains(text, "wait_for") || !strings.Contains(text, "\nonce\n") {
		t.Errorf("the second time: %s", text)
	}
	if text := look(); !strings.Contains(text, "call process_output once with wait_for") {
		t.Errorf("the third time: %s", text)
	}
}

func TestPartsAreRefusedByName(t *testing.T) {
	a := newAgent(t, io.Discard)
	p := a.call("process_start", `{"command":"true"}`)
	for arguments, want := range map[string]string{
		`"cursor":0,"tail_lines":1`:                 "cursor, tail_lines, search, screen: got more than one",
		`"base64":true`:                             "base64: goes with cursor",
		`"max_bytes":300`:                           "max_bytes: goes with cursor",
		`"stream":"stderr"`:                         "stream: goes with cursor, tail_lines or search",
		`"cursor":0,"stream":"stderr"`:              "stream: this process was not started with split",
		`"search":{"pattern":"("}`:                  "search.pattern: got",
		`"search":{}`:                               "search.pattern: is missing",
		`"wait_for":{"output_matches":"a{2000}"}`:   "wait_for.output_matches: got",
		`"wait_for":{"http_ok":"http://10.0.0.1/"}`: "wait_for.http_ok: got",
		`"wait_for":{}`:                             "wait_for: is empty; must have one of http_ok, ",
		`"wait_for":{"new_output":false}`:           "wait_for.new_output: got false, must be true where it stands alone",
		`"wait_for":{"port_open":0}`:                "wait_for.port_open: got 0, must be at least 1",
		`"tail_lines":0`:                            "tail_lines: got 0, must be at least 1",
		`"wait_for":{"bogus":1}`:                    "wait_for.bogus: unknown argument, must be one of http_ok, idle_ms, new_output, output_matches, port_open",
		`"cursor":1`:                                "cursor: got 1, must be at most 0, the end of the output",
		`"cursor":9223372036854775808`:              "cursor: got 9223372036854775807, must be at most 0",
		`"search":{"pattern":"a","cursor":9}`:       "search.cursor: got 9, must be at most 0",
	} {
		if r := a.call("process_output", `{"process_id":"`+p.ProcessID+`",`+arguments+`}`); !r.isError || !strings.Contains(r.text, want) {
			t.Errorf("%s: %s", arguments, r.text)
		}
	}
	if r := a.call("process_output", `{"process_id":"`+p.ProcessID+`"}`); r.isError {
		t.Errorf("then: %s", r.text)
	}
}

func TestSplitKeepsStreamsApart(t *testing.T) {
	a := newAgent(t, io.Discard)
	p := a.call("process_start", `{"command":"for i in 1 2 3; do echo out $i; echo err $i >&2; done","split":true}`)
	part := func(arguments string) string {
		t.Helper()
		return a.call("process_output", `{"process_id":"`+p.ProcessID+`",`+arguments+`}`).ProcessOutput.Output
	}
	if got := part(`"cursor":0,"stream":"stderr"`); got != "err 1\nerr 2\nerr 3\n" {
		t.Errorf("stderr is %q", got)
	}
	if got := part(`"tail_lines":2,"stream":"stdout"`); got != "out 2\nout 3\n" {
		t.Errorf("the last of stdout is %q", got)
	}
	if r := a.call("process_output", `{"process_id":"`+p.ProcessID+`","stream":"stderr","search":{"pattern":"2"}}`); len(r.Lines) != 1 || r.Lines[0].Text != "err 2" {
		t.Errorf("got %+v", r.Lines)
	}
	if both := part(`"cursor":0`); len(both) != 36 {
		t.Errorf("both are %q", both)
	}
	// Without split all output counts as stdout.
	p = a.call("process_start", `{"command":"echo out; echo err >&2"}`)
	if got := part(`"cursor":0,"stream":"stderr"`); got != "" {
		t.Errorf("got %q", got)
	}
}
