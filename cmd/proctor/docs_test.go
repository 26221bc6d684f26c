//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kballard/go-shellquote"
	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
)

// TestREADMEBeginsWithTwoCommands checks what README promises: one command starts
// Proctor, one runs all tests, and it is read in one go.
func TestREADMEBeginsWithTwoCommands(t *testing.T) {
	readme := document(t, "README.md")
	commands := blocks(readme, "sh")
	if len(commands) < 2 || commands[0] != "go run ./cmd/proctor serve\n" || commands[1] != "./test.sh\n" {
		t.Errorf("README begins with %q", commands)
	}
	if lines := strings.Count(readme, "\n"); lines > 200 {
		t.Errorf("README has %d lines", lines)
	}
}

// TestDocLinks follows every link of the documentation to a file and a heading.
func TestDocLinks(t *testing.T) {
	pages := documents(t)
	for name, page := range pages {
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(page, -1) {
			file, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(file, "://") {
				continue
			}
			target := name
			if file != "" {
				target = filepath.Join(filepath.Dir(name), file)
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s links to %s: %v", name, m[1], err)
			} else if anchor != "" && !slices.Contains(anchors(pages[target]), anchor) {
				t.Errorf("%s links to %s; %s has no such heading", name, m[1], target)
			}
		}
	}
	for name := range pages {
		if base := filepath.Base(name); filepath.Dir(name) == "docs" && base != "README.md" &&
			(!strings.Contains(pages["docs/README.md"], "("+base+")") || !strings.Contains(pages["README.md"], "(docs/"+base+")")) {
			t.Errorf("README or the index does not link to %s", name)
		}
	}
}

// anchors returns what GitHub makes of the headings of a page.
func anchors(page string) (found []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		plain := regexp.MustCompile(`[^\w\s-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		found = append(found, strings.ReplaceAll(plain, " ", "-"))
	}
	return found
}

// TestCommandsAreAccepted gives every proctor command of the documentation to the
// program, which must know its flags.
func TestCommandsAreAccepted(t *testing.T) {
	checked := 0
	for name, page := range documents(t) {
		for _, block := range blocks(page, "sh") {
			for line := range strings.Lines(strings.ReplaceAll(block, "\\\n", " ")) {
				at := regexp.MustCompile(`(^| -- |^go run \./cmd/)proctor `).FindStringIndex(line)
				if at == nil {
					continue
				}
				checked++
				args, err := shellquote.Split(line[at[1]:])
				if err != nil {
					t.Errorf("%s: %q: %v", name, line, err)
				}
				var out bytes.Buffer
				if code := run(t.Context(), system{args: append(args, "--help"), stdout: &out, stderr: &out}); code != exitOK {
					t.Errorf("%s: %q: %s", name, line, &out)
				}
			}
		}
	}
	if checked < 8 {
		t.Errorf("%d commands were found", checked)
	}
}

// entries returns the JSON in a page that configures a client.
func entries(page string) (found []string) {
	for _, block := range blocks(page, "json") {
		found = append(found, strings.TrimSpace(block))
	}
	for _, name := range quotedNames(page) {
		if strings.HasPrefix(name, `{"`) && !strings.Contains(name, "method") {
			found = append(found, name)
		}
	}
	return found
}

// TestClientEntries checks that each entry for a client is JSON, and starts what
// there is or names the address of the server.
func TestClientEntries(t *testing.T) {
	clients := entries(document(t, "docs/clients.md"))
	for _, entry := range append(clients, entries(document(t, "README.md"))...) {
		if !json.Valid([]byte(entry)) {
			t.Errorf("not JSON: %s", entry)
			continue
		}
		if strings.Contains(entry, "http://"+defaultListen+"/mcp") {
			continue
		}
		argv := regexp.MustCompile(`"command": "(proctor)", "args": \[([^\]]*)\]|"command": \["(proctor)", ([^\]]*)\]`).FindStringSubmatch(entry)
		if argv == nil || argv[1]+argv[3] != "proctor" {
			t.Errorf("starts no proctor: %s", entry)
			continue
		}
		var args []string
		if err := json.Unmarshal([]byte("["+argv[2]+argv[4]+"]"), &args); err != nil {
			t.Errorf("%s: %v", entry, err)
		}
		var out bytes.Buffer
		if code := run(t.Context(), system{args: append(args, "--help"), stdout: &out, stderr: &out}); code != exitOK || !strings.Contains(out.String(), "one MCP client") {
			t.Errorf("%s: %s", entry, &out)
		}
	}
	if len(clients) < 10 {
		t.Errorf("%d entries were found", len(clients))
	}
	for _, entry := range entries(document(t, "README.md")) {
		if !slices.Contains(clients, entry) {
			t.Errorf("docs/clients.md has not the entry of README: %s", entry)
		}
	}
}

// TestDocMap compares the folders and the flags of test.sh in CONTRIBUTING
// with those that there are.
func TestDocMap(t *testing.T) {
	mapped := map[string]bool{}
	for _, row := range rows(part(t, "CONTRIBUTING.md", "## The map")) {
		for _, name := range quotedNames(row[0] + row[1]) {
			if strings.Contains(name, ".") {
				continue // a file
			}
			mapped[name] = true
			_, here := os.Stat(filepath.Join(root, name))
			_, below := os.Stat(filepath.Join(root, "procmgr", name))
			if here != nil && below != nil {
				t.Errorf("CONTRIBUTING names %s, which is gone", name)
			}
		}
	}
	source(t, func(name string, _ *token.FileSet, _ *ast.File) {
		dir := filepath.ToSlash(filepath.Dir(name))
		if top, _, _ := strings.Cut(dir, "/"); top != "procmgr" && top != "cmd" {
			dir = top // its rooms are not in the map
		}
		if !mapped[strings.TrimPrefix(dir, "procmgr/")] && !mapped[dir] {
			t.Errorf("CONTRIBUTING does not name %s", dir)
			mapped[dir] = true
		}
	})

	var usage, told []string
	for _, m := range regexp.MustCompile(`(?m)^# +(?:\./test\.sh )?(--[a-z]+)`).FindAllStringSubmatch(document(t, "test.sh"), -1) {
		usage = append(usage, m[1])
	}
	for _, m := range regexp.MustCompile(`\./test\.sh (--[a-z]+)`).FindAllStringSubmatch(part(t, "CONTRIBUTING.md", "## The tests"), -1) {
		told = append(told, m[1])
	}
	slices.Sort(usage)
	slices.Sort(told)
	if !slices.Equal(slices.Compact(usage), slices.Compact(told)) {
		t.Errorf("CONTRIBUTING tells of %v, ./test.sh --help of %v", told, usage)
	}
}

// TestREADMENamesWhatIsInstalled looks in README for every package that test.sh
// installs.
func TestREADMENamesWhatIsInstalled(t *testing.T) {
	var packages []string
	for _, m := range regexp.MustCompile(`(?s)while read -r program package;.*?<<'END'\n(.*?)\nEND`).FindAllStringSubmatch(document(t, "test.sh"), -1) {
		for line := range strings.SplitSeq(m[1], "\n") {
			packages = append(packages, strings.Fields(line)[1:]...)
		}
	}
	for _, m := range regexp.MustCompile(`missing\+=\(([^)]*)\)`).FindAllStringSubmatch(document(t, "vm/run.sh"), -1) {
		packages = append(packages, strings.Fields(m[1])...)
	}
	if len(packages) < 10 {
		t.Fatalf("found %v", packages)
	}
	readme := document(t, "README.md")
	for _, name := range packages {
		if !regexp.MustCompile(`[\s,]` + regexp.QuoteMeta(name) + `[\s,.]`).MatchString(readme) {
			t.Errorf("README does not say that test.sh installs %s", name)
		}
	}
}

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
		result, err := ask(t.Context(), c, request.Params.Name, request.Params.RawArguments)
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
