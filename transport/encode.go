package transport

import (
	"encoding/json"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/proctor-mcp/proctor/tools"
)

// textWithID returns the text of a request with another id. The library rounds large
// numbers, and cannot read some, so it never sees the client's.
func (m *message) textWithID(id string) []byte {
	out := make([]byte, 0, len(m.text)+len(id))
	out = append(out, m.text[:m.idAt]...)
	out = append(out, id...)
	return append(out, m.text[m.idAt+len(m.id):]...)
}

// encodeResult returns a response.
func encodeResult(id, result json.RawMessage) []byte {
	return append(append(appendHead(make([]byte, 0, 64+len(id)+len(result)), id), result...), '}')
}

// appendHead appends the beginning of a response, up to its result.
func appendHead(b []byte, id json.RawMessage) []byte {
	b = append(append(b, `{"jsonrpc":"2.0","id":`...), id...)
	return append(b, `,"result":`...)
}

// encodeReply returns the response to a tool call; info is who answers. Replies carry
// output, so they are encoded once and by hand.
func encodeReply(m *message, r tools.Reply, info json.RawMessage) []byte {
	b := appendHead(make([]byte, 0, 512+len(r.Text)+len(r.Text)/8+len(r.Data)), m.id) // an eighth for escapes
	b = append(appendString(append(b, `{"content":[{"type":"text","text":`...), r.Text), "}]"...)
	if r.Data != nil {
		b = append(append(b, `,"structuredContent":`...), r.Data...)
	}
	if r.Failed {
		b = append(b, `,"isError":true`...)
	}
	if m.isModern() {
		b = append(b, `,"resultType":"complete","_meta":{"`+metaServerInfo+`":`...)
		b = append(append(b, info...), '}')
	}
	return append(b, "}}"...)
}

// encodeError returns an error as a JSON-RPC response.
func encodeError(e *protocolError) []byte {
	id := e.id
	if id == nil {
		id = json.RawMessage("null")
	}
	b := append([]byte(`{"jsonrpc":"2.0","id":`), id...)
	b = strconv.AppendInt(append(b, `,"error":{"code":`...), int64(e.code), 10)
	b = appendString(append(b, `,"message":`...), e.text)
	if e.data != nil {
		if data, err := json.Marshal(e.data); err == nil {
			b = append(append(b, `,"data":`...), data...)
		}
	}
	return append(b, "}}"...)
}

// encodeNotification returns a notification. Its parameters are numbers, strings and
// raw JSON, which can always be encoded.
func encodeNotification(method string, params map[string]any) []byte {
	text, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "method": method, "params": params})
	if err != nil {
		panic(err)
	}
	return text
}

// encodeInfo returns what MCP calls an implementation: who answers.
func encodeInfo(name, title, version string) json.RawMessage {
	b := appendString([]byte(`{"name":`), name)
	b = appendString(append(b, `,"title":`...), title)
	return append(appendString(append(b, `,"version":`...), version), '}')
}

// appendString appends s as a JSON string; bytes that are not UTF-8 are replaced.
func appendString(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // the error reports what was replaced
	return b
}
