package transport

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// message is a JSON-RPC message that was checked before anything else reads it.
type message struct {
	text   []byte          // params and all that stands in it are parts of it
	id     json.RawMessage // as the client wrote it; nil in a notification
	idAt   int             // where the id stands in text
	method string
	params json.RawMessage // nil if there are none
	// cancels is the id that a notifications/cancelled names.
	cancels json.RawMessage
	// tool and arguments are those of a tools/call.
	tool      string
	arguments json.RawMessage
	// meta is the _meta of params, progressToken and protocol what it says; nil and ""
	// if it is absent. Requests name their protocol since 2026-07-28.
	meta, progressToken json.RawMessage
	protocol            string
}

// isRequest reports whether the message wants an answer. A message that is neither a
// request nor a notification is an answer, and this server asks for none.
func (m *message) isRequest() bool { return m.id != nil && m.method != "" }

const (
	// maxMetaBytes is the largest _meta, maxMembers the most members of the objects that
	// a message consists of. Text belongs into arguments, and a hundred thousand keys
	// would take every reader of the message its time.
	maxMetaBytes = 64 << 10
	maxMembers   = 4096
	// maxTokenBytes is the longest progress token.
	maxTokenBytes = 256
)

// isModern reports whether a message names protocol 2026-07-28 or a later one.
func (m *message) isModern() bool { return isModern(m.protocol) }

// parse reads a message. Two readers of one message must see the same: the MCP library
// takes keys in any case, and the last of several, so parse refuses keys that stand
// twice, and keys that differ from a known one only in case.
func parse(text []byte) (message, *protocolError) {
	m := message{text: text}
	value := jsontext.Value(text)
	unique := value.IsValid(jsontext.AllowInvalidUTF8(true)) // no object has a key twice
	switch {
	case !utf8.Valid(text):
		return m, &protocolError{code: codeParse, text: "the message is not valid UTF-8"}
	case !unique && !value.IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)):
		return m, &protocolError{code: codeParse, text: "the message is not valid JSON"}
	case value.Kind() != '{':
		return m, &protocolError{code: codeInvalidRequest, text: "the message must be a JSON object; there are no batches"}
	}
	envelope, bad := readObject(text, "jsonrpc", "id", "method", "params", "result", "error")
	if id, ok := envelope["id"]; ok {
		// It is sent back as it is, so others must be able to read it.
		if kind := id.value.Kind(); kind != '"' && kind != '0' || !id.value.IsValid() {
			return m, &protocolError{code: codeInvalidRequest, text: "id must be a string or a number"}
		}
		m.id, m.idAt = json.RawMessage(id.value.Clone()), id.start
	}
	if bad != nil {
		bad.id = m.id
		return m, bad
	}
	refuse := func(code int, format string, args ...any) (message, *protocolError) {
		return m, &protocolError{id: m.id, code: code, text: fmt.Sprintf(format, args...)}
	}
	if string(envelope["jsonrpc"].value) != `"2.0"` {
		return refuse(codeInvalidRequest, `jsonrpc must be "2.0"`)
	}
	_, isResult := envelope["result"]
	_, isError := envelope["error"]
	method, ok := envelope["method"]
	switch {
	case ok && (isResult || isError):
		return refuse(codeInvalidRequest, "a message has a method or a result, not both")
	case ok && (json.Unmarshal(method.value, &m.method) != nil || m.method == ""):
		return refuse(codeInvalidRequest, "method must be a string, and not empty")
	case !ok && !isResult && !isError:
		return refuse(codeInvalidRequest, "method is missing")
	}
	params, bad := m.readParams(envelope["params"].value)
	if bad != nil {
		bad.id = m.id
		return m, bad
	}
	if !unique {
		return refuse(codeInvalidRequest, "a key stands twice in one object")
	}
	if m.id != nil && m.method == methodListen {
		// The library would keep the request open, and nothing would ever come.
		return refuse(codeNoMethod, "%s: nothing here can be subscribed to; process_wait waits for what happens", m.method)
	}
	if m.method == methodCancelled {
		if m.id != nil {
			return refuse(codeInvalidRequest, "%s is a notification and has no id", methodCancelled)
		}
		m.cancels = json.RawMessage(params["requestId"].value)
	}
	return m, nil
}

// readParams checks the parameters and reads what the message needs of them.
func (m *message) readParams(text jsontext.Value) (map[string]field, *protocolError) {
	invalid := func(format string, args ...any) (map[string]field, *protocolError) {
		return nil, &protocolError{code: codeInvalidParams, text: fmt.Sprintf(format, args...)}
	}
	isCall, isRead := m.method == methodCall, m.id != nil && m.method == methodRead
	switch {
	case text == nil && (isRead || isCall):
		return invalid("params are missing")
	case text == nil || m.method == "":
		return nil, nil
	case text.Kind() != '{':
		return invalid("params must be an object")
	}
	m.params = json.RawMessage(text)
	params, bad := readObject(text, "name", "arguments", "_meta", "requestId", "protocolVersion", "uri")
	if bad != nil {
		return nil, bad
	}
	if meta, ok := params["_meta"]; ok {
		if bad := m.readMeta(meta.value); bad != nil {
			return nil, bad
		}
	}
	if isRead && params["uri"].value.Kind() != '"' {
		return invalid("uri must be a string")
	}
	if !isCall {
		return params, nil
	}
	if json.Unmarshal(params["name"].value, &m.tool) != nil || m.tool == "" {
		return invalid("name must be the name of a tool")
	}
	if arguments, ok := params["arguments"]; ok && arguments.value.Kind() == '{' {
		if _, bad := readObject(arguments.value); bad != nil {
			return nil, bad
		}
	}
	m.arguments = json.RawMessage(params["arguments"].value)
	return params, nil
}

// readMeta checks the _meta of the parameters and reads what the message needs of it.
func (m *message) readMeta(text jsontext.Value) *protocolError {
	invalid := func(format string, args ...any) *protocolError {
		return &protocolError{code: codeInvalidParams, text: fmt.Sprintf(format, args...)}
	}
	if text.Kind() != '{' {
		return invalid("_meta must be an object")
	}
	if len(text) > maxMetaBytes {
		return invalid("_meta has %d bytes, more than %d", len(text), maxMetaBytes)
	}
	members, bad := readObject(text)
	if bad != nil {
		return bad
	}
	m.meta = json.RawMessage(text)
	if token, ok := members["progressToken"]; ok {
		if kind := token.value.Kind(); kind != '"' && kind != '0' || len(token.value) > maxTokenBytes || !token.value.IsValid() {
			return invalid("progressToken must be a string or a number of at most %d bytes", maxTokenBytes)
		}
		m.progressToken = json.RawMessage(token.value.Clone())
	}
	if version, ok := members[metaProtocol]; ok && (json.Unmarshal(version.value, &m.protocol) != nil || m.protocol == "") {
		return invalid("%s must be a string, and not empty", metaProtocol)
	}
	return nil
}

// field is a member of an object and where its value starts in the text.
type field struct {
	value jsontext.Value
	start int
}

// readObject returns the members of a JSON object, which must be valid. It returns an
// error as well if two keys are equal, or differ only in case from each other or from a
// known one.
func readObject(text []byte, known ...string) (fields map[string]field, bad *protocolError) {
	invalid := func(format string, args ...any) {
		if bad == nil {
			bad = &protocolError{code: codeInvalidRequest, text: fmt.Sprintf(format, args...)}
		}
	}
	exact := make(map[string]string, 2*len(known)) // by folded name
	for _, name := range known {
		exact[fold(name)] = name
	}
	fields = make(map[string]field, len(known))
	// A bytes.Buffer is read without a copy.
	d := jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	// The text is valid, so the decoder returns no error.
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
		value = text[end-len(value) : end] // the decoder's own lasts until the next read
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

// fold returns the same text for all names that encoding/json takes for the same.
func fold(name string) string {
	if !strings.ContainsFunc(name, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return strings.ToUpper(name) // the same as below for ASCII, and faster
	}
	return strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return least
	}, name)
}
