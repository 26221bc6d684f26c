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
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/quartz"

	"github.com/proctor-mcp/proctor/caller"
	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/proctest"
	"github.com/proctor-mcp/proctor/tools"
)

func TestMain(m *testing.M) { proctest.Main(m, nil) }

var update = flag.Bool("update", false, "write the transcripts anew")

const secret = "a-secret-of-the-tests"

// serving is everything behind a transport.
type serving struct {
	manager *procmgr.Manager
	tools   *tools.Tools
	server  *Server
	log     *slog.Logger
}

func newServing(t testing.TB, dir string, log io.Writer) *serving {
	t.Helper()
	return newServingWith(t, dir, log, nil)
}

// newServingWith gives a clock to the tools, but not to the manager.
func newServingWith(t testing.TB, dir string, log io.Writer, clock quartz.Clock) *serving {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	m := procmgr.New(procmgr.Options{
		Env: procmgr.EnvOptions{Inherit: os.Environ()}, Dir: func() string { return dir }, Grace: 100 * time.Millisecond, Clock: proctest.PatientClock(), Log: logger,
	})
	ts := tools.New(tools.Options{Manager: m, Rules: caller.DefaultRules(), Clock: clock, Log: logger})
	t.Cleanup(func() {
		if _, err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
		ts.Close()
	})
	return &serving{m, ts, NewServer(ts, "0.0.0-test", logger), logger}
}

// stdio serves a pair of pipes and returns the client's ends. The returned
// function waits for Serve.
func (s *serving) stdio(t testing.TB, id caller.Identity) (in io.WriteCloser, out *bufio.Reader, end func() error) {
	t.Helper()
	return s.stdioWith(t, id, func(*Stdio) {})
}

func (s *serving) stdioWith(t testing.TB, id caller.Identity, change func(*Stdio)) (in io.WriteCloser, out *bufio.Reader, end func() error) {
	t.Helper()
	inR, inW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() {
		std := &Stdio{Server: s.server, Identity: id, Log: s.log}
		change(std)
		err := std.Serve(context.Background(), inR, outW)
		outW.Close()
		served <- err
	}()
	end = func() error {
		inW.Close()
		err := <-served
		inR.Close()
		served <- err
		return err
	}
	t.Cleanup(func() {
		end()
		outR.Close()
	})
	return inW, bufio.NewReader(outR), end
}

// http serves on a new port and returns its address.
func (s *serving) http(t testing.TB, change func(*HTTP)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.serve(t, change, l)
	return "http://" + l.Addr().String()
}

// serve serves a listener until the end of the test.
func (s *serving) serve(t testing.TB, change func(*HTTP), l net.Listener) {
	t.Helper()
	h := &HTTP{Server: s.server, Identify: with(NewToken(secret, "")), Log: s.log}
	if change != nil {
		change(h)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- h.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// with identifies clients by these tokens.
func with(tokens ...Token) func(string) (caller.Identity, bool) {
	return func(authorization string) (caller.Identity, bool) { return Identify(tokens, authorization) }
}

// client sends one message and returns the answer.
type client func(message string) string

func stdioClient(t *testing.T, s *serving) client {
	in, out, _ := s.stdio(t, caller.Identity{Token: "stdio", DefaultChat: "transcript"})
	return func(message string) string {
		if _, err := io.WriteString(in, message+"\n"); err != nil {
			t.Fatal(err)
		}
		line, err := out.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return line
	}
}

func post(t testing.TB, c *http.Client, url, message string) *http.Response {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+secret)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("Coder-Chat-Id", "transcript")
	var m struct {
		Method string
		Params struct {
			Name string
			URI  string
			Meta map[string]any `json:"_meta"`
		}
	}
	// A message that is not JSON is sent as it is.
	_ = json.Unmarshal([]byte(message), &m)
	if version, ok := m.Params.Meta["io.modelcontextprotocol/protocolVersion"].(string); ok {
		for name, value := range map[string]string{"MCP-Protocol-Version": version, "Mcp-Method": m.Method, "Mcp-Name": m.Params.Name + m.Params.URI} {
			if value != "" && !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) { // what no client could send
				r.Header.Set(name, value)
			}
		}
	}
	response, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func httpClient(t *testing.T, s *serving) client {
	url := s.http(t, nil) + "/mcp"
	c := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(c.CloseIdleConnections)
	return func(message string) string {
		response := post(t, c, url, message)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
}

// openSSE opens a stream and returns its events and where to send messages.
func openSSE(t testing.TB, c *http.Client, base string) (events *bufio.Reader, endpoint string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, base+"/sse", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+secret)
	response, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	events = bufio.NewReader(response.Body)
	return events, base + event(t, events)
}

// event returns the data of the next event.
func event(t testing.TB, events *bufio.Reader) string {
	t.Helper()
	for {
		line, err := events.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			return strings.TrimSpace(data)
		}
	}
}

func sseClient(t *testing.T, s *serving) client {
	c := &http.Client{Transport: &http.Transport{}}
	base := s.http(t, nil)
	t.Cleanup(c.CloseIdleConnections)
	events, endpoint := openSSE(t, c, base)
	return func(message string) string {
		response := post(t, c, endpoint, message)
		response.Body.Close()
		if response.StatusCode != http.StatusAccepted {
			t.Fatalf("%s: %s", response.Status, message)
		}
		return event(t, events)
	}
}

// TestTranscripts sends what a client says and compares the answers. In testdata/transcripts
// lines of the client begin with ">", lines of the server with "<"; "# only: NAME" names the
// transports that a transcript is for. Run with -update to write them anew, then read what
// changed.
func TestTranscripts(t *testing.T) {
	transports := map[string]func(*testing.T, *serving) client{"stdio": stdioClient, "http": httpClient, "sse": sseClient}
	files, err := filepath.Glob("testdata/transcripts/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		only := regexp.MustCompile(`(?m)^# only: (.*)$`).FindStringSubmatch(string(text))
		for name, connect := range transports {
			if only != nil && !strings.Contains(only[1], name) {
				continue
			}
			if *update && name == "sse" && (only == nil || only[1] != name) {
				continue // the others have written it
			}
			t.Run(name+"/"+filepath.Base(file), func(t *testing.T) {
				dir := t.TempDir()
				say := connect(t, newServing(t, dir, io.Discard))
				got := play(t, string(text), dir, say)
				if *update {
					if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				} else if got != string(text) {
					t.Errorf("differs from %s:\n%s", file, firstDifference(got, string(text)))
				}
			})
		}
	}
}

// play sends the client's lines of a transcript and returns the transcript with the answers.
func play(t *testing.T, transcript, dir string, say client) string {
	t.Helper()
	n := &normalizer{dir: dir, names: map[string]string{}, ids: map[string]string{}}
	var out strings.Builder
	for line := range strings.Lines(transcript) {
		message, ok := strings.CutPrefix(line, "> ")
		if !ok {
			if !strings.HasPrefix(line, "< ") {
				out.WriteString(line)
			}
			continue
		}
		out.WriteString(line)
		out.WriteString("< " + n.normalize(t, say(n.expand(strings.TrimSpace(message)))) + "\n")
	}
	return out.String()
}

// normalizer replaces what differs between runs by names.
type normalizer struct {
	dir   string
	names map[string]string // by id
	ids   map[string]string // by name
}

// expand puts real ids and long texts into a message.
func (n *normalizer) expand(message string) string {
	for name, id := range n.ids {
		message = strings.ReplaceAll(message, name, id)
	}
	return regexp.MustCompile(`\{\{(.)\*(\d+)\}\}`).ReplaceAllStringFunc(message, func(m string) string {
		count, _ := strconv.Atoi(m[4 : len(m)-2])
		return strings.Repeat(m[2:3], count)
	})
}

func (n *normalizer) normalize(t *testing.T, answer string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(answer), &v); err != nil {
		t.Fatalf("the answer is no JSON: %s", answer)
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(n.value("", v)); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out.String())
}

func (n *normalizer) value(key string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = n.value(k, v[k])
		}
	case []any:
		for i := range v {
			v[i] = n.value(key, v[i])
		}
	case float64:
		if key == "duration_ms" || key == "pid" || key == "user_ms" || key == "system_ms" || key == "max_rss_bytes" {
			return "NUMBER"
		}
	case string:
		if key == "started_at" || key == "exited_at" {
			return "TIME"
		}
		s := strings.ReplaceAll(v, n.dir, "WORKDIR")
		s = regexp.MustCompile(`\b[\d.]+(ms|s)\b`).ReplaceAllString(s, "DURATION")
		return regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`).ReplaceAllStringFunc(s, func(id string) string {
			if _, known := n.names[id]; !known {
				n.names[id] = fmt.Sprintf("PROCESS%d", len(n.names)+1)
				n.ids[n.names[id]] = id
			}
			return n.names[id]
		})
	}
	return v
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			return fmt.Sprintf("line %d\ngot  %s\nwant %s", i+1, g[i], strings.Join(w[min(i, len(w)):min(i+1, len(w))], ""))
		}
	}
	return "lines are missing"
}
