package transport

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/proctor-mcp/proctor/tools"
)

// A resource that is not there has the code that the protocol's version says.
func TestMissingResource(t *testing.T) {
	for modern, code := range map[bool]string{false: "-32002", true: "-32602"} {
		message := mcp.JSONRPCError{Error: mcp.JSONRPCErrorDetails{Code: mcp.INTERNAL_ERROR, Message: "no"}}
		got := newEncoder("proctor", "Proctor", "0").failure(json.RawMessage("1"), message, &tools.Slot{NotFound: true, Modern: modern})
		if !strings.Contains(string(got), `"code":`+code) {
			t.Errorf("got %s", got)
		}
	}
}
