//go:build linux

package transport

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coder/quartz"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/proctor-mcp/proctor/caller"
	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/proctest"
)

func TestIDsAreKeptAsTheyAreWritten(t *testing.T) {
	s := newServing(t, t.TempDir(), io.Discard)
	in, out, _ := s.stdio(t, caller.Identity{Token: "stdio"})
	url := s.http(t, nil) + "/mcp"
	for _, id := range []string{"0", "9007199254740993", "-1", "1.50", "1e2", `""`, `"a\u0062<&>"`, `"` + strings.Repeat("i", 1000) + `"`} {
		message := `{"jsonrpc":"2.0","id":` + id + `,"method":"ping"}`
		send(t, in, message+"\n")
		line, err := out.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		_, _, text := try(t, "POST", url, strings.NewReader(message))
		want := `{"jsonrpc":"2.0","id":` + id + `,"result":{}}` + "\n"
		if line != want || text != want {
			t.Errorf("got %q and %q, want %q", line, text, want)
		}
	}
}

func TestAThousandWaitingCallsDelayNothing(t *testing.T) {
	s := newServing(t, t.TempDir(), io.Discard)
	in, out, _ := s.stdio(t, caller.Identity{Token: "stdio", DefaultChat: "c"})
	send(t, in, callMessage(1, "process_start", `{"command":"exec sleep 100","background":true}`))
	readAnswer(t, out)
	list, _ := s.manager.In(procmgr.Chat("c")).List(procmgr.FilterAll, 1)
	id := list[0].ID
	for i := range 1000 {
		send(t, in, callMessage(1000+i, "process_output", `{"process_id":"`+id+`","wait_ms":50000}`))
	}
	begin := time.Now()
	send(t, in, callMessage(2, "process_list", `{}`))
	if id, _ := readAnswer(t, out); id != 2 {
		t.Errorf("answer %d came first", id)
	}
	t.Logf("list behind 1,000 waiting calls: %v", time.Since(begin)) // clock: a figure
	begin = time.Now()
	send(t, in, callMessage(3, "process_signal", `{"process_id":"`+id+`","signal":"kill","wait_ms":0}`))
	answered := map[int]bool{}
	for len(answered) < 1001 {
		id, text := readAnswer(t, out)
		answered[id] = true
		if id == 3 {
			t.Logf("signal behind 1,000 waiting calls: %v", time.Since(begin)) // clock: a figure
		} else if !strings.Contains(text, "SIGKILL") {
			t.Fatalf("answer %d: %s", id, text)
		}
	}
}

func TestACancelledCallIsSilentAndItsProcessLivesOn(t *testing.T) {
	s := newServing(t, t.TempDir(), io.Discard)
	in, out, end := s.stdio(t, caller.Identity{Token: "stdio", DefaultChat: "c"})
	for i := range 50 {
		send(t, in, callMessage(i, "process_start", `{"command":"exec sleep 100","wait_ms":50000}`))
		proctest.Within(t, "it to run", func() bool {
			list, _ := s.manager.In(procmgr.Chat("c")).List(procmgr.FilterRunning, 100)
			return len(list) == i+1
		})
		send(t, in, fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%d}}`+"\n", i))
	}
	send(t, in, callMessage(99, "process_list", `{}`))
	if id, _ := readAnswer(t, out); id != 99 {
		t.Errorf("cancelled call %d was answered", id)
	}
	if list, _ := s.manager.In(procmgr.Chat("c")).List(procmgr.FilterRunning, 100); len(list) != 50 {
		t.Errorf("%d processes live on", len(list))
	}
	end()
	if rest, err := io.ReadAll(out); err != nil || len(rest) != 0 {
		t.Errorf("written behind the last answer: %q, %v", rest, err)
	}
}

// progressMessage starts a process, on a clock of the test's own, and checks what
// its client reads of it after five seconds.
func progressMessage(t *testing.T, s *serving, clock *quartz.Mock, sent func(message string), next func() string) {
	t.Helper()
	trap := clock.Trap().TickerFunc("progress")
	defer trap.Close()
	cue, give := proctest.Cue(t)
	sent(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"process_start","arguments":{"command":"echo compiling; read x < ` + cue + `","wait_ms":300000},"_meta":{"progressToken":"tok"}}}`)
	trap.MustWait(t.Context()).MustRelease(t.Context())
	var got struct {
		Method string
		Params struct {
			ProgressToken string
			Progress      float64
			Message       string
		}
	}
	proctest.Within(t, "the process to run, and to print", func() bool {
		for _, scope := range []procmgr.Scope{procmgr.NoChat("stdio"), procmgr.Chat("transcript")} {
			if handles, _ := s.manager.In(scope).Handles(procmgr.FilterRunning, 1); len(handles) == 1 {
				handles[0].WaitFor(t.Context(), procmgr.Condition{NewOutput: true})
				return true
			}
		}
		return false
	})
	clock.Advance(5 * time.Second).MustWait(t.Context())
	if err := json.Unmarshal([]byte(next()), &got); err != nil {
		t.Fatal(err)
	}
	if got.Method != "notifications/progress" || got.Params.ProgressToken != "tok" || got.Params.Progress < 5 || !strings.Contains(got.Params.Message, "10 bytes of output: compiling") {
		t.Errorf("got %+v", got)
	}
	give()
	if answer := next(); !strings.Contains(answer, `"id":1,"result"`) {
		t.Errorf("got %s", answer)
	}
}

func TestProgressOnStdio(t *testing.T) {
	clock := quartz.NewMock(t)
	s := newServingWith(t, t.TempDir(), io.Discard, clock)
	in, out, _ := s.stdio(t, caller.Identity{Token: "stdio"})
	progressMessage(t, s, clock, func(m string) { send(t, in, m+"\n") }, func() string {
		line, err := out.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return line
	})
}

func TestProgressOnHTTP(t *testing.T) {
	clock := quartz.NewMock(t)
	s := newServingWith(t, t.TempDir(), io.Discard, clock)
	base := s.http(t, nil)
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	responses := make(chan *http.Response, 1)
	var events *bufio.Reader
	progressMessage(t, s, clock, func(m string) {
		go func() { responses <- post(t, c, base+"/mcp", m) }()
	}, func() string {
		if events == nil {
			response := <-responses
			t.Cleanup(func() { response.Body.Close() })
			events = bufio.NewReader(response.Body)
		}
		return event(t, events)
	})
}

func TestProgressOnSSE(t *testing.T) {
	clock := quartz.NewMock(t)
	s := newServingWith(t, t.TempDir(), io.Discard, clock)
	base := s.http(t, nil)
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	events, endpoint := openSSE(t, c, base)
	progressMessage(t, s, clock, func(m string) { post(t, c, endpoint, m).Body.Close() }, func() string { return event(t, events) })
}

// TestNobodyCancelsForAnother has clients cancel requests with ids that others use as well.
func TestNobodyCancelsForAnother(t *testing.T) {
	s := newServing(t, t.TempDir(), io.Discard)
	base := s.http(t, nil)
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	mine, mineEndpoint := openSSE(t, c, base)
	_, otherEndpoint := openSSE(t, c, base)
	cue, give := proctest.Cue(t)
	wait := callMessage(7, "process_start", `{"command":"read x < `+cue+`; echo done","wait_ms":50000}`)
	post(t, c, mineEndpoint, wait).Body.Close()
	answers := make(chan string, 1)
	go func() {
		response := post(t, c, base+"/mcp", wait)
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		answers <- string(text)
	}()
	proctest.Within(t, "both to run", func() bool {
		list, _ := s.manager.In(procmgr.Chat("transcript")).List(procmgr.FilterRunning, 10)
		return len(list) == 2
	})
	const cancel = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`
	post(t, c, base+"/mcp", cancel).Body.Close()
	post(t, c, otherEndpoint, cancel).Body.Close()
	give()
	if text := <-answers; !strings.Contains(text, "done") {
		t.Errorf("over HTTP: %s", text)
	}
	if text := event(t, mine); !strings.Contains(text, "done") {
		t.Errorf("over SSE: %s", text)
	}
}

func TestAnEventStreamBelongsToItsToken(t *testing.T) {
	base := newServing(t, t.TempDir(), io.Discard).http(t, func(h *HTTP) {
		h.Identify = with(NewToken(secret, ""), NewToken("another-token-of-the-tests", ""))
	})
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	_, endpoint := openSSE(t, c, base)
	if status, _, _ := try(t, "POST", endpoint, strings.NewReader(listCall), "Authorization", "", "Authorization", "Bearer another-token-of-the-tests"); status != 404 {
		t.Errorf("another token: status %d", status)
	}
	if status, _, _ := try(t, "POST", endpoint, strings.NewReader(listCall)); status != 202 {
		t.Errorf("the same token: status %d", status)
	}
}

func TestAClosedEventStreamEndsItsCalls(t *testing.T) {
	s := newServing(t, t.TempDir(), io.Discard)
	base := s.http(t, nil)
	c := &http.Client{Transport: &http.Transport{}}
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/sse", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+secret)
	response, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	endpoint := base + event(t, bufio.NewReader(response.Body))
	post(t, c, endpoint, callMessage(1, "process_start", `{"command":"exec sleep 100","wait_ms":50000}`)).Body.Close()
	running := func() bool {
		list, _ := s.manager.In(procmgr.Chat("transcript")).List(procmgr.FilterRunning, 1)
		return len(list) == 1
	}
	// A call counts before it starts its process, and would start none if it were
	// cancelled before.
	proctest.Await(t, "the call's process to run", running)
	cancel()
	proctest.Await(t, "the call to end", func() bool { return s.tools.Calls() == 0 })
	if !running() {
		t.Error("its process ended with it")
	}
	c.CloseIdleConnections()
}

func TestStreamsOfATokenAreLimited(t *testing.T) {
	base := newServing(t, t.TempDir(), io.Discard).http(t, func(h *HTTP) { h.MaxStreamsPerToken = 2 })
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	openSSE(t, c, base)
	openSSE(t, c, base)
	for _, path := range []string{"/sse", "/mcp"} {
		if status, header, text := try(t, "GET", base+path, nil); status != 429 || header.Get("Retry-After") == "" || !strings.Contains(text, "--max-streams-per-token") {
			t.Errorf("%s: status %d, %s", path, status, text)
		}
	}
}

// TestSlowClients keeps a thousand connections open that send nothing, half a head or half
// a body, and makes requests meanwhile.
func TestSlowClients(t *testing.T) {
	base := newServing(t, t.TempDir(), io.Discard).http(t, nil)
	address := strings.TrimPrefix(base, "http://")
	for i := range 1000 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		switch i % 3 {
		case 0:
			io.WriteString(c, "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n")
		case 1:
			io.WriteString(c, "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer "+secret+"\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
		}
	}
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	var worst time.Duration
	for range 200 {
		begin := time.Now()
		response := post(t, c, base+"/mcp", listCall)
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || !strings.Contains(string(text), "No processes") {
			t.Fatalf("%v: %s", err, text)
		}
		worst = max(worst, time.Since(begin)) // clock: a figure
	}
	t.Logf("the slowest of 200 answers beside 1,000 slow clients: %v", worst)
}

func TestOverlongHeadersAreRefused(t *testing.T) {
	base := newServing(t, t.TempDir(), io.Discard).http(t, nil)
	if status, _, _ := try(t, "POST", base+"/mcp", strings.NewReader(listCall), "X-Bomb", strings.Repeat("x", 100<<10)); status != 431 {
		t.Errorf("status %d", status)
	}
}

// The server reads no more from a client that does not read its answers once the backlog
// is full. The client gets every answer when it reads.
func TestBacklogOfASlowReaderIsLimited(t *testing.T) {
	s := newServing(t, t.TempDir(), io.Discard)
	full := make(chan struct{}, 1)
	in, out, _ := s.stdioWith(t, caller.Identity{Token: "stdio"}, func(std *Stdio) {
		std.testHookFull = func() {
			select {
			case full <- struct{}{}:
			default:
			}
		}
	})
	const messages = maxBacklogBytes/requestBytes + 1000
	go func() {
		for i := range messages {
			if _, err := fmt.Fprintf(in, `{"jsonrpc":"2.0","id":%d,"method":"ping"}`+"\n", i); err != nil {
				return
			}
		}
	}()
	<-full
	for range messages {
		if _, err := out.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLargeRequestsTakeTurns(t *testing.T) {
	s := newServing(t, t.TempDir(), io.Discard)
	base := s.http(t, nil)
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	large := callMessage(1, "process_start", `{"command":"exec sleep 100","wait_ms":50000,"stdin":"`+strings.Repeat("x", 2*smallBytes)+`"}`)
	for range largeRequests {
		go func() {
			response := post(t, c, base+"/mcp", large)
			io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}()
	}
	proctest.Await(t, "all to wait", func() bool { return s.tools.Calls() == largeRequests })
	if status, header, _ := try(t, "POST", base+"/mcp", strings.NewReader(large)); status != 503 || header.Get("Retry-After") == "" {
		t.Errorf("one more: status %d", status)
	}
	if status, _, _ := try(t, "POST", base+"/mcp", strings.NewReader(listCall)); status != 200 {
		t.Errorf("a small one: status %d", status)
	}
	s.tools.EndWaits()
	proctest.Await(t, "all to end", func() bool { return s.tools.Calls() == 0 })
	proctest.Await(t, "a place to be free", func() bool {
		status, _, _ := try(t, "POST", base+"/mcp", strings.NewReader(large))
		return status == 200
	})
}

func TestStopAnswersWaitingCalls(t *testing.T) {
	s := newServing(t, t.TempDir(), io.Discard)
	l, err := Listen("127.0.0.1:0", s.log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h := &HTTP{Server: s.server, Identify: with(NewToken(secret, "")), Log: s.log}
	served := make(chan error, 1)
	go func() { served <- h.Serve(ctx, l) }()
	base := "http://" + l.Addr().String()
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	events, endpoint := openSSE(t, c, base)
	wait := callMessage(1, "process_start", `{"command":"exec sleep 100","wait_ms":50000}`)
	post(t, c, endpoint, wait).Body.Close()
	answers := make(chan string, 1)
	go func() {
		response := post(t, c, base+"/mcp", wait)
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		answers <- string(text)
	}()
	proctest.Await(t, "both to wait", func() bool { return s.tools.Calls() == 2 })
	cancel()
	if text := <-answers; !strings.Contains(text, "running for") {
		t.Errorf("over HTTP: %s", text)
	}
	if text := event(t, events); !strings.Contains(text, "running for") {
		t.Errorf("over SSE: %s", text)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestUnixSocket(t *testing.T) {
	s := newServing(t, t.TempDir(), io.Discard)
	path := t.TempDir() + "/proctor.sock"
	for range 2 { // the second finds what the first has left
		l, err := net.Listen("unix", path)
		if err == nil {
			l.(*net.UnixListener).SetUnlinkOnClose(false)
			l.Close()
		}
		own, err := Listen("unix:"+path, s.log)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		if _, err := Listen("unix:"+path, s.log); err == nil || !strings.Contains(err.Error(), "another server") {
			t.Errorf("two servers on one socket: %v", err)
		}
		accepted := make(chan net.Conn, 1)
		go func() {
			for {
				c, err := own.Accept()
				if err != nil {
					return
				}
				accepted <- c
			}
		}()
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		(<-accepted).Close()
		c.Close()
		own.Close()
	}
}

func TestParseTokens(t *testing.T) {
	tokens, err := ParseTokens("# comment\n\nfirst-token-of-the-file\nsecond-token-of-the-file team/ \n")
	if err != nil || len(tokens) != 2 {
		t.Fatalf("got %v, %v", tokens, err)
	}
	if id, ok := Identify(tokens, "Bearer second-token-of-the-file"); !ok || id.Bound != "team/" {
		t.Errorf("got %+v, %v", id, ok)
	}
	for text, want := range map[string]string{
		"": "no token", "#only\n": "no token", "short": "line 1", "first-token-of-the-file a b": "line 1",
		"first-token-of-the-file\nsecond-token-of-the-file a,b": "line 2", "token-with-ümlaut-in-it": "line 1",
		"first-token-of-the-file\n\nfirst-token-of-the-file x": "lines 1 and 3",
	} {
		if _, err := ParseTokens(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "token-of") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

var messages = flag.Int("messages", 20_000, "how many mutated messages TestMutatedMessages sends")

// TestMutatedMessages sends messages with a few changed bytes on stdio, many at once, and
// counts the answers.
func TestMutatedMessages(t *testing.T) {
	seeds := []string{
		`{"jsonrpc":"2.0","id":1,"method":"ping"}`, strings.TrimSpace(callMessage(12, "process_list", `{"limit":1,"state":"all"}`)),
		strings.TrimSpace(callMessage(3, "process_output", `{"process_id":"x","wait_ms":0}`)), `{"jsonrpc":"2.0","id":"a","method":"tools/list","params":{"_meta":{"progressToken":5}}}`,
		`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":999999}}`,
	}
	s := newServing(t, t.TempDir(), io.Discard)
	in, out, end := s.stdio(t, caller.Identity{Token: "stdio"})
	rng := rand.New(rand.NewPCG(1, uint64(*messages)))
	go func() {
		for range *messages {
			text := []byte(seeds[rng.IntN(len(seeds))])
			for range rng.IntN(4) {
				i := rng.IntN(len(text))
				switch rng.IntN(3) {
				case 0:
					text[i] = byte(' ' + rng.IntN(224))
				case 1:
					text = append(text[:i], text[i+1:]...)
				default:
					text = append(text[:i], append([]byte{text[rng.IntN(len(text))]}, text[i:]...)...)
				}
			}
			if _, err := in.Write(append(text, '\n')); err != nil {
				t.Error(err)
				return
			}
		}
		end()
	}()
	answers := 0
	for {
		line, err := out.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		if answers++; !jsontext.Value(line).IsValid() || !bytes.HasPrefix(line, []byte(`{"jsonrpc":"2.0","id":`)) {
			t.Fatalf("answer %d: %.300q", answers, line)
		}
	}
	t.Logf("%d answers to %d messages", answers, *messages)
	if answers < *messages/2 {
		t.Errorf("%d answers", answers)
	}
}

// FuzzMessages sends messages by stdio and by HTTP: every answer must be one JSON object,
// without words of Go's libraries.
func FuzzMessages(f *testing.F) {
	for _, text := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"ping"}`, `{"jsonrpc":"2.0","id":"x","method":"tools/list","params":{"cursor":1}}`,
		callMessage(1, "process_list", `{"limit":1}`), callMessage(1, "process_output", `{"process_id":"x","wait_ms":0}`),
		`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`,
		`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`, `[]`, `{"id":{}}`, "\xff", `{"jsonrpc":"2.0","id":1,"result":{}}`,
		`{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`,
	} {
		f.Add([]byte(text))
	}
	s := newServing(f, f.TempDir(), io.Discard)
	in, out, _ := s.stdio(f, caller.Identity{Token: "stdio"})
	url := s.http(f, nil) + "/mcp"
	c := &http.Client{Transport: &http.Transport{}}
	f.Cleanup(c.CloseIdleConnections)
	f.Fuzz(func(t *testing.T, text []byte) {
		if strings.Contains(string(text), "process_start") || strings.Contains(string(text), "process_signal") || strings.Contains(string(text), "listen") {
			return // what they start is another fuzzer's
		}
		check := func(answer string) {
			var v map[string]any
			if err := json.Unmarshal([]byte(answer), &v); err != nil || v["jsonrpc"] != "2.0" {
				t.Errorf("%q was answered %.300q", text, answer)
			}
			for _, mark := range []string{"json:", "goroutine", "panic", "Go value", "unmarshal"} {
				if e, ok := v["error"].(map[string]any); ok && strings.Contains(fmt.Sprint(e["message"]), mark) {
					t.Errorf("%q was answered %.300q", text, answer)
				}
			}
		}
		line := strings.Map(func(r rune) rune {
			if r == '\n' || r == '\r' {
				return ' '
			}
			return r
		}, strings.ToValidUTF8(string(text), "?"))
		if _, err := io.WriteString(in, line+"\n"+`{"jsonrpc":"2.0","id":"sentinel","method":"ping"}`+"\n"); err != nil {
			t.Fatal(err)
		}
		m, bad := parse([]byte(line))
		answers := 1
		if strings.TrimSpace(line) != "" && (bad != nil || m.id != nil && m.method != "") {
			answers++
		}
		for range answers {
			answer, err := out.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			check(answer)
		}
		response := post(t, c, url, string(text))
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") {
			check(string(body))
		} else if response.StatusCode == http.StatusOK && len(body) > 0 {
			t.Errorf("%q was answered %s: %q", text, response.Status, body)
		}
	})
}
