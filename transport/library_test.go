//go:build linux

package transport

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/proctor-mcp/proctor/tools"
)

// TestDefinitions keeps a snapshot of the tool definitions and limits their size: they are
// part of every agent's context. Run with -update to write the snapshot anew.
func TestDefinitions(t *testing.T) {
	cost := 0
	var all []mcp.Tool
	for _, registered := range newServing(t, t.TempDir(), io.Discard).server.Library().ListTools() {
		tool := registered.Tool
		var input bytes.Buffer
		if err := json.Compact(&input, tool.RawInputSchema); err != nil {
			t.Fatal(err)
		}
		cost += len(tool.Name) + len(tool.Description) + input.Len()
		all = append(all, tool)
	}
	slices.SortFunc(all, func(a, b mcp.Tool) int { return strings.Compare(a.Name, b.Name) })
	if cost > 9500 {
		t.Errorf("names, descriptions and input schemas take %d bytes, more than 9500", cost)
	}
	if len(tools.Instructions) > 2048 {
		t.Errorf("the instructions take %d bytes, more than 2048", len(tools.Instructions))
	}
	t.Logf("definitions %d bytes, instructions %d bytes", cost, len(tools.Instructions))
	got, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	const file = "testdata/definitions.json"
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the definitions differ from %s (%v); run go test ./transport -update and read what changed", file, err)
	}
}

func TestResourcesAreListed(t *testing.T) {
	say := stdioClient(t, newServing(t, t.TempDir(), io.Discard))
	for method, want := range map[string]string{
		"resources/list":           `"uri":"proctor://processes"`,
		"resources/templates/list": `"uriTemplate":"proctor://processes/{process_id}/output"`,
		"resources/read":           `"text":"{\"processes\":[],`,
	} {
		if got := say(`{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":{"uri":"proctor://processes"}}`); !strings.Contains(got, want) {
			t.Errorf("%s: got %s", method, got)
		}
	}
}

func TestCodeOfAnUnreadResource(t *testing.T) {
	legacy, modern := &request{}, &request{message: message{protocol: mcp.ProtocolVersion20260728}}
	for _, c := range []struct {
		q      *request
		failed tools.ReadError
		code   int
	}{
		{legacy, tools.ReadError{NotFound: true}, mcp.RESOURCE_NOT_FOUND},
		{modern, tools.ReadError{NotFound: true}, mcp.INVALID_PARAMS},
		{legacy, tools.ReadError{Invalid: true}, mcp.INVALID_PARAMS},
		{modern, tools.ReadError{Text: "too much at once"}, mcp.INTERNAL_ERROR},
	} {
		if got := readFailure(c.q, "proctor://processes", &c.failed); got.code != c.code {
			t.Errorf("%+v: code %d, want %d", c.failed, got.code, c.code)
		}
	}
}

// A panic of the library is answered plainly, and the log alone says what it was.
func TestPanicOfTheLibrary(t *testing.T) {
	var log bytes.Buffer
	s := newServing(t, t.TempDir(), &log)
	s.server.Library().AddTool(mcp.NewTool("panics"), nil)
	if got := stdioClient(t, s)(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"panics"}}`); !strings.Contains(got, internalText) || !strings.Contains(got, "-32603") {
		t.Errorf("got %s", got)
	}
	if !strings.Contains(log.String(), "panic while answering") {
		t.Errorf("the log says %s", &log)
	}
}
