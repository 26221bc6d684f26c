//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
)

// TestExampleConfiguration starts or reaches every entry of mcp.json.example.
func TestExampleConfiguration(t *testing.T) {
	text, err := os.ReadFile(root + "/mcp.json.example")
	if err != nil {
		t.Fatal(err)
	}
	const secret = "a-token-for-the-example"
	s := launch(t, []string{"PROCTOR_TOKEN=" + secret}, "serve", "--listen", "127.0.0.1:0", "--log-format", "json")
	replaced := strings.NewReplacer("${PROCTOR_TOKEN}", secret, defaultListen, s.address()).Replace(string(text))
	var config struct {
		MCPServers map[string]struct {
			Type, Command, URL string
			Args               []string
			Headers            map[string]string
		}
	}
	if err := json.Unmarshal([]byte(replaced), &config); err != nil {
		t.Fatal(err)
	}
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for name, entry := range config.MCPServers {
		seen[entry.Type] = true
		var c *client.Client
		switch entry.Type {
		case "":
			if entry.Command != "proctor" {
				t.Errorf("%s starts %s", name, entry.Command)
			}
			c, err = client.NewStdioMCPClient(binary, os.Environ(), entry.Args...)
		case "http":
			c, err = client.NewStreamableHttpClient(entry.URL, transport.WithHTTPHeaders(entry.Headers))
		case "sse":
			c, err = client.NewSSEMCPClient(entry.URL, transport.WithHeaders(entry.Headers))
		}
		if err != nil || c == nil {
			t.Fatalf("%s: %v", name, err)
		}
		var request mcp.CallToolRequest
		request.Params.Name = "process_start"
		request.Params.RawArguments = json.RawMessage(`{"command":"echo in ${CODER_CHAT_ID:-no chat}"}`)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		result, err := ask(ctx, c, request.Params.Name, request.Params.RawArguments)
		cancel()
		c.Close()
		want := "in my-chat"
		if entry.Headers["Coder-Chat-Id"] == "" {
			want = "in no chat"
		}
		if err != nil || !strings.Contains(result.Content[0].(mcp.TextContent).Text, want) {
			t.Errorf("%s: got %v, %v", name, result, err)
		}
	}
	if len(seen) != 3 {
		t.Errorf("the example shows %v; it must show stdio, http and sse", seen)
	}
}

// TestREADMETranscript plays the agent's sessions of the README: what stands
// behind "→" is called, what follows must be the answer.
func TestREADMETranscript(t *testing.T) {
	readme, err := os.ReadFile(root + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/readme")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/go.mod", []byte("module example\n\ngo 1.26\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// In a repository where one file is committed, for git add -p.
	if out, err := exec.Command("sh", "-c", `cd "$0" && git init -q && git add notes.txt && git -c user.name=a -c user.email=a@example.com commit -qm first`, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	sessions := strings.Split(string(readme), "```text\n→ ")[1:]
	if len(sessions) < 3 {
		t.Fatalf("README has %d sessions", len(sessions))
	}
	for _, session := range sessions {
		session, _, _ = strings.Cut(session, "```")
		// go run leaves its program behind when it is ended by a signal.
		s := launch(t, []string{"HOME=" + os.Getenv("HOME"), "GOTMPDIR=" + t.TempDir()}, "stdio", "--workdir", dir)
		s.replay(strings.ReplaceAll(session, "8137", port))
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// replay plays one session. All its answers are short.
func (s *server) replay(session string) {
	s.t.Helper()
	const most = 8 << 10
	ids := map[string]string{}
	size := 0
	for step := range strings.SplitSeq(session, "\n→ ") {
		call, want, _ := strings.Cut(step, "\n")
		tool, arguments, _ := strings.Cut(call, " ")
		for short, id := range ids {
			arguments = strings.ReplaceAll(arguments, short, id)
		}
		got := s.text(tool, arguments)
		size += len(got)
		for _, id := range regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`).FindAllString(got, -1) {
			if !strings.Contains(fmt.Sprint(ids), id) {
				ids[fmt.Sprintf("p%d", len(ids)+1)] = id
			}
		}
		for short, id := range ids {
			got = strings.ReplaceAll(got, id, short)
		}
		plain := func(text string) string {
			// Times, whether a program already waits for the answer to what it has just
			// asked, git's choices, and blanks say nothing.
			text = regexp.MustCompile(`\b[\d.]+m?s\b`).ReplaceAllString(text, "TIME")
			text = regexp.MustCompile(`, waiting for input|; process_output waits for it, process_signal ends it|; answer it with process_input, or end it with process_signal|,[a-z,]+,\?\]`).ReplaceAllString(text, "")
			return strings.Join(strings.Fields(text), " ")
		}
		if plain(got) != plain(want) {
			s.t.Errorf("%s\ngot:\n%s\nREADME:\n%s", call, got, want)
		}
	}
	if size > most {
		s.t.Errorf("the answers of the session have %d bytes, more than %d", size, most)
	}
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
