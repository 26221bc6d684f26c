package tools

import (
	"encoding/json"

	"github.com/proctor-mcp/proctor/caller"
	"github.com/proctor-mcp/proctor/schemas"
)

// Tools whose calls are treated apart from the others.
const (
	signalName = "process_signal"
	inputName  = "process_input"
)

// Request is what a transport has read from a client: a tool call, or another request
// that takes its turn beside the tool calls.
type Request struct {
	// Tool is the name of the tool, or "" if this is no tool call.
	Tool string
	// Arguments are those of the tool call, as JSON. They need not be valid.
	Arguments json.RawMessage
	// Meta is the _meta of the request, Header its HTTP headers. Both may be nil.
	Meta   map[string]any
	Header map[string][]string
	// Identity is what the transport knows about the client.
	Identity caller.Identity
	// ProgressToken is the token for progress notifications, as the client wrote it,
	// or nil if the client did not ask for progress.
	ProgressToken json.RawMessage
	// Notify sends the client a notification about the request. It returns once that
	// is written, and writes nothing after the answer or after a cancellation. It
	// may be nil.
	Notify func(method string, params map[string]any)
}

// Reply is the answer to a tool call.
type Reply struct {
	// Text is the answer for reading.
	Text string
	// Data says the same as JSON that fits the tool's output schema. It is nil if
	// the call failed.
	Data json.RawMessage
	// Failed says that Text tells why the call failed, and what to do about it.
	Failed bool
}

// Definition is what a client is told about a tool.
type Definition struct {
	Name, Title, Description string
	// Input and Output are JSON Schemas.
	Input, Output json.RawMessage
	Hints         Hints
}

// Hints are the annotations of a tool that MCP defines.
type Hints struct{ ReadOnly, Destructive, Idempotent, OpenWorld bool }

// define returns the definition of a tool, with the schemas of that name.
func define(name, title, description string, hints Hints) Definition {
	return Definition{name, title, description, schemas.InputSchema(name), schemas.OutputSchema(name), hints}
}

// Resource is what a client is told about a resource, or about a template of
// resources if its URI has parts in braces.
type Resource struct{ URI, Name, Description, MIMEType string }
