//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
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
