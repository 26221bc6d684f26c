package transport

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/proctor-mcp/proctor/tools"
)

// message is a JSON-RPC message that was looked at before the MCP library is.
type message struct {
	text   []byte          // with a number of ours in the place of the client's id
	id     json.RawMessage // the client's; nil in a notification
	method string
	// cancels is the id that a notifications/cancelled names.
	cancels json.RawMessage
	// progressToken is that of the request, or nil.
	progressToken json.RawMessage
	// tool, arguments and meta are those of a tools/call; nil if they are absent.
	tool, arguments, meta json.RawMessage
	// modern says that _meta names a protocol, as it does since 2026-07-28.
	modern bool
}

// isRequest says that the message wants an answer. What is neither that nor a
// notification is an answer itself, and we have asked for none.
func (m *message) isRequest() bool { return m.id != nil && m.method != "" }

// context returns ctx with what the tools need of the message.
func (m *message) context(ctx context.Context) context.Context {
	if m.progressToken == nil {
		return ctx
	}
	return tools.WithProgressToken(ctx, m.progressToken)
}

const (
	// maxMetaBytes is the largest _meta, maxMembers the most members of an object
	// that a message is made of. Text belongs into arguments, and reading a
	// hundred thousand keys would cost every reader of the message its time.
	maxMetaBytes = 64 << 10
	maxMembers   = 4096
	// maxTokenBytes is the longest progress token.
	maxTokenBytes = 256
)

// protocolError is what a message that is none is answered.
type protocolError struct {
	id   json.RawMessage // nil if it could not be told
	code int
	text string
}

func (e *protocolError) Error() string { return e.text }

// encode returns the error as a JSON-RPC response.
func (e *protocolError) encode() []byte {
	return encodeError(e.id, e.code, e.text)
}

func encodeError(id json.RawMessage, code int, text string) []byte {
	b := append([]byte(`{"jsonrpc":"2.0","id":`), orNull(id)...)
	b = append(b, `,"error":{"code":`...)
	b = strconv.AppendInt(b, int64(code), 10)
	b = append(b, `,"message":`...)
	b = appendString(b, text)
	return append(b, "}}"...)
}

func orNull(id json.RawMessage) []byte {
	if id == nil {
		return []byte("null")
	}
	return id
}

// appendString appends s as a JSON string.
func appendString(b []byte, s string) []byte {
	quoted, err := jsontext.AppendQuote(b, s)
	if err != nil { // invalid UTF-8 is replaced
		quoted, _ = jsontext.AppendQuote(b, strings.ToValidUTF8(s, "\uFFFD"))
	}
	return quoted
}

// parse looks at a message and puts number where its id stands. Two readers of
// one message must see the same: the MCP library takes keys of any case and the
// last of several, so keys that repeat, or that differ from a known one only in
// case, are refused. Ids are kept as they are written: the library would round
// large ones.
func parse(text []byte, number uint64) (message, *protocolError) {
	m := message{text: text}
	value := jsontext.Value(text)
	unique := value.IsValid(jsontext.AllowInvalidUTF8(true)) // no key stands twice
	switch {
	case !utf8.Valid(text):
		return m, &protocolError{code: mcp.PARSE_ERROR, text: "the message is not valid UTF-8"}
	case !unique && !value.IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)):
		return m, &protocolError{code: mcp.PARSE_ERROR, text: "the message is not valid JSON"}
	case value.Kind() != '{':
		return m, &protocolError{code: mcp.INVALID_REQUEST, text: "the message must be a JSON object; there are no batches"}
	}
	envelope, bad := readObject(text, "jsonrpc", "id", "method", "params", "result", "error")
	if id, ok := envelope["id"]; ok {
		// It is sent back as it is, so it must be what others can read.
		if kind := id.value.Kind(); kind != '"' && kind != '0' || !id.value.IsValid() {
			return m, &protocolError{nil, mcp.INVALID_REQUEST, "id must be a string or a number"}
		}
		m.id = json.RawMessage(id.value)
	}
	if bad != nil {
		bad.id = m.id
		return m, bad
	}
	refuse := func(code int, format string, args ...any) (message, *protocolError) {
		return m, &protocolError{m.id, code, fmt.Sprintf(format, args...)}
	}
	if string(envelope["jsonrpc"].value) != `"2.0"` {
		return refuse(mcp.INVALID_REQUEST, `jsonrpc must be "2.0"`)
	}
	_, isResult := envelope["result"]
	_, isError := envelope["error"]
	method, ok := envelope["method"]
	switch {
	case ok && (isResult || isError):
		return refuse(mcp.INVALID_REQUEST, "a message has a method or a result, not both")
	case ok && (json.Unmarshal(method.value, &m.method) != nil || m.method == ""):
		return refuse(mcp.INVALID_REQUEST, "method must be a string, and not empty")
	case !ok && !isResult && !isError:
		return refuse(mcp.INVALID_REQUEST, "method is missing")
	}
	params, bad := m.params(envelope["params"].value)
	if bad != nil {
		bad.id = m.id
		return m, bad
	}
	if !unique {
		return refuse(mcp.INVALID_REQUEST, "a key stands twice in one object")
	}
	if m.id != nil && m.method == string(mcp.MethodSubscriptionsListen) {
		// The library would hold it open under a number of ours, and nothing would come.
		return refuse(mcp.METHOD_NOT_FOUND, "%s: nothing here can be subscribed to; process_wait waits for what happens", m.method)
	}
	if m.method == cancelled {
		if m.id != nil {
			return refuse(mcp.INVALID_REQUEST, "%s is a notification and has no id", cancelled)
		}
		m.cancels = json.RawMessage(params["requestId"].value)
	}
	if m.id != nil {
		at := envelope["id"]
		m.text = splice(text, at.start, at.start+len(at.value), strconv.AppendUint(nil, number, 10))
	}
	return m, nil
}

const cancelled = "notifications/cancelled"

// params checks the parameters and what stands in them.
func (m *message) params(text jsontext.Value) (map[string]field, *protocolError) {
	reads := m.id != nil && m.method == string(mcp.MethodResourcesRead)
	if text == nil && (reads || m.method == string(mcp.MethodToolsCall)) {
		return nil, &protocolError{code: mcp.INVALID_PARAMS, text: "params are missing"}
	}
	if text == nil || m.method == "" {
		return nil, nil
	}
	if text.Kind() != '{' {
		return nil, &protocolError{code: mcp.INVALID_PARAMS, text: "params must be an object"}
	}
	params, bad := readObject(text, "name", "arguments", "_meta", "requestId", "protocolVersion", "uri")
	if bad != nil {
		return nil, bad
	}
	if meta, ok := params["_meta"]; ok {
		if meta.value.Kind() != '{' {
			return nil, &protocolError{code: mcp.INVALID_PARAMS, text: "_meta must be an object"}
		}
		if len(meta.value) > maxMetaBytes {
			return nil, &protocolError{code: mcp.INVALID_PARAMS, text: fmt.Sprintf("_meta has %d bytes, more than %d", len(meta.value), maxMetaBytes)}
		}
		members, bad := readObject(meta.value)
		if bad != nil {
			return nil, bad
		}
		if token, ok := members["progressToken"]; ok {
			if kind := token.value.Kind(); kind != '"' && kind != '0' || len(token.value) > maxTokenBytes || !token.value.IsValid() {
				return nil, &protocolError{code: mcp.INVALID_PARAMS, text: fmt.Sprintf("progressToken must be a string or a number of at most %d bytes", maxTokenBytes)}
			}
			m.progressToken = json.RawMessage(token.value)
		}
		version, named := members[mcp.MetaKeyProtocolVersion]
		if named && (version.value.Kind() != '"' || len(version.value) < len(`"2"`)) {
			return nil, &protocolError{code: mcp.INVALID_PARAMS, text: mcp.MetaKeyProtocolVersion + " must be a string, and not empty"}
		}
		m.modern = named
	}
	if reads && params["uri"].value.Kind() != '"' {
		return nil, &protocolError{code: mcp.INVALID_PARAMS, text: "uri must be a string"}
	}
	if m.method != string(mcp.MethodToolsCall) {
		return params, nil
	}
	if params["name"].value.Kind() != '"' {
		return nil, &protocolError{code: mcp.INVALID_PARAMS, text: "name must be the name of a tool"}
	}
	if arguments, ok := params["arguments"]; ok && arguments.value.Kind() == '{' {
		if _, bad := readObject(arguments.value); bad != nil {
			return nil, bad
		}
	}
	m.tool, m.meta = json.RawMessage(params["name"].value), json.RawMessage(params["_meta"].value)
	m.arguments = json.RawMessage(params["arguments"].value)
	return params, nil
}

// field is a member of an object and where its value starts in the text.
type field struct {
	value jsontext.Value
	start int
}

// readObject returns the members of a JSON object, which must be valid. It
// refuses keys that repeat, or that differ only in case from each other or from
// a known one; the members are returned all the same.
func readObject(text []byte, known ...string) (fields map[string]field, bad *protocolError) {
	invalid := func(format string, args ...any) {
		if bad == nil {
			bad = &protocolError{code: mcp.INVALID_REQUEST, text: fmt.Sprintf(format, args...)}
		}
	}
	exact := make(map[string]string, 2*len(known)) // by folded name
	for _, name := range known {
		exact[fold(name)] = name
	}
	fields = make(map[string]field, len(known))
	// A buffer is read where it is.
	d := jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	// The text is valid, so the decoder has nothing to complain of.
	_, _ = d.ReadToken()
	for d.PeekKind() == '"' {
		if len(fields) > maxMembers {
			invalid("an object of the message has more than %d members", maxMembers)
			break
		}
		token, _ := d.ReadToken()
		name := token.String()
		value, _ := d.ReadValue()
		end := int(d.InputOffset())
		value = text[end-len(value) : end] // the decoder's own is gone with the next read
		folded := fold(name)
		if other, ok := exact[folded]; ok && other != name {
			invalid("the key %.80q differs from %.80q only in case", name, other)
		}
		if _, ok := fields[name]; ok {
			invalid("the key %.80q stands twice", name)
		}
		exact[folded] = name
		fields[name] = field{value, end - len(value)}
	}
	return fields, bad
}

// fold returns what all names that encoding/json takes for the same have in
// common.
func fold(name string) string {
	if !strings.ContainsFunc(name, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return strings.ToUpper(name) // the least of each letter, and quickly
	}
	return strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return least
	}, name)
}

// splice returns text with what stands between start and end replaced.
func splice(text []byte, start, end int, by []byte) []byte {
	out := make([]byte, 0, len(text)-(end-start)+len(by))
	out = append(out, text[:start]...)
	out = append(out, by...)
	return append(out, text[end:]...)
}
