package transport

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/proctor-mcp/proctor/tools"
)

// encoder turns answers into bytes. The results of tools, which carry output, are
// encoded here and once; the MCP library would go over them four times.
type encoder struct {
	info json.RawMessage // who answers, for requests that want to know
}

func newEncoder(name, title, version string) encoder {
	b := appendString([]byte(`{"name":`), name)
	b = appendString(append(b, `,"title":`...), title)
	b = appendString(append(b, `,"version":`...), version)
	return encoder{append(b, '}')}
}

// answer encodes the response to the request of that id. message is what the MCP
// library says, slot what a tool has put past it.
func (e encoder) answer(id json.RawMessage, message any, slot *tools.Slot) ([]byte, error) {
	switch m := message.(type) {
	case mcp.JSONRPCError:
		return e.failure(id, m, slot), nil
	case mcp.JSONRPCResponse:
		if slot.Result != nil {
			return e.result(id, slot), nil
		}
		result, err := json.Marshal(m.Result)
		if err != nil {
			return nil, err
		}
		return append(append(head(id), result...), '}'), nil
	}
	return encodeError(id, mcp.INTERNAL_ERROR, "something went wrong inside the server"), nil
}

func head(id json.RawMessage) []byte {
	b := append([]byte(`{"jsonrpc":"2.0","id":`), orNull(id)...)
	return append(b, `,"result":`...)
}

// result encodes the result of a tool.
func (e encoder) result(id json.RawMessage, slot *tools.Slot) []byte {
	r := slot.Result
	room := 512 + len(r.RawStructuredContent)
	for _, content := range r.Content {
		text := content.(mcp.TextContent).Text
		room += len(text) + len(text)/8 // for what is escaped
	}
	b := make([]byte, 0, room)
	b = append(append(b, head(id)...), `{"content":[`...)
	for i, content := range r.Content {
		if i > 0 {
			b = append(b, ',')
		}
		// Our tools answer with text and nothing else.
		b = appendString(append(b, `{"type":"text","text":`...), content.(mcp.TextContent).Text)
		b = append(b, '}')
	}
	b = append(b, ']')
	if len(r.RawStructuredContent) > 0 {
		b = append(append(b, `,"structuredContent":`...), r.RawStructuredContent...)
	}
	if r.IsError {
		b = append(b, `,"isError":true`...)
	}
	if slot.Modern {
		b = append(b, `,"resultType":"complete","_meta":{"`+mcp.MetaKeyServerInfo+`":`...)
		b = append(append(b, e.info...), '}')
	}
	return append(b, "}}"...)
}

// failure encodes an error of the MCP library, less what is only for its authors.
func (e encoder) failure(id json.RawMessage, m mcp.JSONRPCError, slot *tools.Slot) []byte {
	message := plain(m.Error.Code, m.Error.Message)
	if slot.Failure != nil {
		m.Error = *slot.Failure
		message = m.Error.Message
	}
	b := append([]byte(`{"jsonrpc":"2.0","id":`), orNull(id)...)
	b = append(b, `,"error":{"code":`...)
	b = strconv.AppendInt(b, int64(m.Error.Code), 10)
	b = appendString(append(b, `,"message":`...), message)
	if m.Error.Data != nil {
		if data, err := json.Marshal(m.Error.Data); err == nil {
			b = append(append(b, `,"data":`...), data...)
		}
	}
	return append(b, "}}"...)
}

// plain returns the message of an error, unless it holds words of Go's libraries
// or of a panic, which tell a client nothing and strangers too much.
func plain(code int, text string) string {
	for _, mark := range []string{"json:", "jsontext", "unmarshal", "Unmarshal", "Go struct", "Go value", "panic", "goroutine", "strconv", "base64", ".go:"} {
		if !strings.Contains(text, mark) {
			continue
		}
		switch code {
		case mcp.PARSE_ERROR:
			return "the message is not valid JSON"
		case mcp.INVALID_REQUEST:
			return "the request does not have the form of its method"
		case mcp.INVALID_PARAMS:
			return "the params do not have the form of the method"
		case mcp.METHOD_NOT_FOUND:
			return "there is no such method"
		default:
			return "something went wrong inside the server"
		}
	}
	return text
}

// numbered returns the number of the request that text, as the MCP library has
// encoded it, is the answer to.
func numbered(text []byte) (number uint64, ok bool) {
	rest, ok := bytes.CutPrefix(text, []byte(`{"jsonrpc":"2.0","id":`))
	end := bytes.IndexByte(rest, ',')
	if !ok || end < 0 {
		return 0, false
	}
	number, err := strconv.ParseUint(string(rest[:end]), 10, 64)
	return number, err == nil
}

// rewrite puts the answer to a request, as the MCP library has encoded it, into
// the words of its client.
func (e encoder) rewrite(text []byte, q *request) []byte {
	var m struct {
		Result json.RawMessage
		Error  *mcp.JSONRPCErrorDetails
	}
	switch err := json.Unmarshal(text, &m); {
	case err != nil:
		return encodeError(q.id, mcp.INTERNAL_ERROR, "something went wrong inside the server")
	case m.Error != nil:
		return e.failure(q.id, mcp.JSONRPCError{Error: *m.Error}, &q.slot)
	case q.slot.Result != nil:
		return e.result(q.id, &q.slot)
	}
	return append(append(head(q.id), m.Result...), '}')
}
