package transport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/proctor-mcp/proctor/tools"
)

// This file holds what Proctor assumes of the MCP library, mcp-go v1.2.1; no other
// file of the package imports it. A new version of the library is checked against:
//
//   - MCPServer.HandleMessage answers one message. It needs no session, keeps nothing
//     of the message, and may be called concurrently, also with equal ids. It must never
//     get a notifications/cancelled: it would find the request by its id alone.
//   - It calls the handlers of tools and resources with the context that it was given,
//     and the error hook with their errors.
//   - It decodes a tool call five times, and encodes a result four times. So calls of
//     protocols before 2026-07-28 go to their tool directly, and no result of a tool goes
//     through it.
//   - It answers requests of protocol 2026-07-28 whatever transport they came by, and does
//     not check their HTTP headers: only its own HTTP servers do.
//   - The text of its errors is that of Go errors, its own and those of Go's libraries.

// MCPServer is the MCP library's server.
type MCPServer = server.MCPServer

// library answers requests with the MCP library.
type library struct{ *MCPServer }

// newLibrary returns a server that knows the tools and resources.
func newLibrary(ts *tools.Tools, version string) library {
	var hooks server.Hooks
	hooks.AddOnError(explain)
	s := server.NewMCPServer("proctor", version,
		server.WithTitle("Proctor"),
		server.WithInstructions(tools.Instructions),
		server.WithHooks(&hooks),
		server.WithToolCapabilities(false),
		server.WithResourceCapabilities(false, false))
	for _, d := range ts.Definitions() {
		tool := mcp.NewToolWithRawSchema(d.Name, d.Description, d.Input)
		tool.Title, tool.RawOutputSchema = d.Title, d.Output
		tool.Annotations = mcp.ToolAnnotation{
			Title: d.Title, ReadOnlyHint: &d.Hints.ReadOnly, DestructiveHint: &d.Hints.Destructive,
			IdempotentHint: &d.Hints.Idempotent, OpenWorldHint: &d.Hints.OpenWorld,
		}
		s.AddTool(tool, runTool)
	}
	for _, r := range tools.Resources() {
		s.AddResource(mcp.NewResource(r.URI, r.Name, mcp.WithResourceDescription(r.Description), mcp.WithMIMEType(r.MIMEType)), readResource)
	}
	for _, r := range tools.ResourceTemplates() {
		s.AddResourceTemplate(mcp.NewResourceTemplate(r.URI, r.Name, mcp.WithTemplateDescription(r.Description), mcp.WithTemplateMIMEType(r.MIMEType)), readResource)
	}
	return library{s}
}

// Notify sends a notification to the client of the call that ctx belongs to. It is for
// tools that were added to [Server.Library].
func Notify(ctx context.Context, method string, params map[string]any) {
	ctx.Value(requestKey{}).(*request).call.Notify(method, params)
}

// requestKey is the key of the *request in the context of what the library calls.
type requestKey struct{}

// runTool puts the reply of a tool into the request, and returns nothing to the library.
func runTool(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	q := ctx.Value(requestKey{}).(*request)
	reply := q.call.Run(ctx)
	q.reply = &reply
	return &mcp.CallToolResult{Content: []mcp.Content{}}, nil
}

func readResource(ctx context.Context, r mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
	q := ctx.Value(requestKey{}).(*request)
	text, mimeType, failed := q.call.Read(r.Params.URI)
	if failed == nil {
		return []mcp.ResourceContents{mcp.TextResourceContents{URI: r.Params.URI, MIMEType: mimeType, Text: text}}, nil
	}
	q.failure = readFailure(q, r.Params.URI, failed)
	return nil, failed
}

// maxEchoedURI is the longest URI that an error repeats.
const maxEchoedURI = 2 << 10

// readFailure returns the error for a resource that was not read.
func readFailure(q *request, uri string, failed *tools.ReadError) *protocolError {
	e := &protocolError{code: codeInternal, text: failed.Text}
	switch {
	case failed.NotFound:
		e.code, e.text = codeNoResource, "uri: this chat has no such resource; resources/list and resources/templates/list name those there are"
		if q.isModern() {
			e.code = codeInvalidParams // as protocol 2026-07-28 prescribes
		}
		if len(uri) <= maxEchoedURI {
			e.data = map[string]string{"uri": uri}
		}
	case failed.Invalid:
		e.code = codeInvalidParams
	}
	return e
}

// explain puts the library's errors for unknown tools and resources into words for the
// client.
func explain(ctx context.Context, _ any, _ mcp.MCPMethod, message any, err error) {
	q, ok := ctx.Value(requestKey{}).(*request)
	switch read, isRead := message.(*mcp.ReadResourceRequest); {
	case !ok:
	case errors.Is(err, server.ErrToolNotFound):
		q.failure = &protocolError{code: codeInvalidParams, text: "name: no such tool; tools/list names those there are"}
	case isRead && errors.Is(err, server.ErrResourceNotFound):
		q.failure = readFailure(q, read.Params.URI, &tools.ReadError{NotFound: true})
	}
}

// answer has the library answer a request. For a tool call the library calls runTool, which
// puts the reply into the request; result is nil then.
func (l library) answer(ctx context.Context, q *request) (result json.RawMessage, failure *protocolError) {
	switch r := l.HandleMessage(context.WithValue(ctx, requestKey{}, q), q.textWithID("1")).(type) {
	case mcp.JSONRPCError:
		if q.failure != nil {
			return nil, q.failure
		}
		return nil, &protocolError{code: r.Error.Code, text: plainText(r.Error.Code, r.Error.Message), data: r.Error.Data}
	case mcp.JSONRPCResponse:
		if q.reply != nil {
			return nil, nil
		}
		result, err := json.Marshal(r.Result)
		if err != nil {
			return nil, &protocolError{code: codeInternal, text: plainText(codeInternal, err.Error())}
		}
		return result, nil
	}
	return nil, &protocolError{code: codeInternal, text: internalText}
}

// notice hands the library a notification of a client.
func (l library) notice(ctx context.Context, m *message) { l.HandleMessage(ctx, m.text) }

const internalText = "something went wrong inside the server"

// plainText returns the text of one of the library's errors, unless it holds words of
// Go's libraries or of a panic, which tell a client nothing and strangers too much.
func plainText(code int, text string) string {
	for _, mark := range []string{"json:", "jsontext", "unmarshal", "Unmarshal", "Go struct", "Go value", "panic", "goroutine", "strconv", "base64", ".go:"} {
		if !strings.Contains(text, mark) {
			continue
		}
		switch code {
		case codeParse:
			return "the message is not valid JSON"
		case codeInvalidRequest:
			return "the request does not have the form of its method"
		case codeInvalidParams:
			return "the params do not have the form of the method"
		case codeNoMethod:
			return "there is no such method"
		default:
			return internalText
		}
	}
	return tools.OneLine(text)
}

// onLegacyStream returns the context of a request on a transport that serves only protocols
// before 2026-07-28, or the error for a request of a later one, which names the versions that
// are served. server/discover is no exception: the client of mcp-go takes any result of it
// for a server that speaks the version of the request.
func onLegacyStream(ctx context.Context, m *message) (context.Context, *protocolError) {
	legacy := mcp.LegacyProtocolVersions()
	if m.isModern() {
		return ctx, unsupportedVersion(m.protocol, legacy)
	}
	return server.WithSupportedProtocolVersions(ctx, legacy), nil
}

func unsupportedVersion(version string, supported []string) *protocolError {
	return &protocolError{
		code: codeVersion,
		text: fmt.Sprintf("protocol %.40q is not spoken here; use one of %s", version, strings.Join(supported, ", ")),
		data: mcp.UnsupportedProtocolVersionData{Requested: version, Supported: supported},
	}
}

// checkHeaders compares the headers of a POST to the MCP endpoint with its message, as
// protocol 2026-07-28 prescribes. It returns nil if they agree.
func (l library) checkHeaders(header http.Header, m *message) *protocolError {
	version := header.Get(mcp.HeaderProtocolVersion)
	mismatch := func(err error) *protocolError {
		return &protocolError{code: codeHeaders, text: plainText(codeHeaders, err.Error())}
	}
	switch {
	case !m.isModern() && !isModern(version):
		if version == "" || mcp.IsValidProtocolVersion(version) || m.method == methodInitialize {
			return nil
		}
		return unsupportedVersion(version, mcp.ValidProtocolVersions)
	case header.Get(mcp.HeaderLastEventID) != "":
		return mismatch(mcp.HeaderMismatchError{Header: mcp.HeaderLastEventID, Reason: "streams cannot be resumed since protocol 2026-07-28; send the request again with a new id"})
	case m.protocol == "":
		return &protocolError{code: codeInvalidParams, text: "_meta " + metaProtocol + " is missing"}
	case version != m.protocol:
		return mismatch(mcp.HeaderMismatchError{Header: mcp.HeaderProtocolVersion, Reason: "it must name the same version as _meta " + metaProtocol})
	case !mcp.IsValidProtocolVersion(version):
		return unsupportedVersion(version, mcp.ValidProtocolVersions)
	}
	err := mcp.ValidateStandardHeaders(header.Get, version, mcp.MCPMethod(m.method), m.params)
	if tool := l.GetTool(m.tool); err == nil && tool != nil {
		err = mcp.ValidateParamHeadersLookup(func(name string) (string, bool) {
			values := header.Values(name)
			return header.Get(name), len(values) > 0
		}, &tool.Tool, m.params)
	}
	if err != nil {
		return mismatch(err)
	}
	return nil
}

// checkVersion returns whether a GET or DELETE names a protocol that has these methods,
// and the error for an unknown version.
func checkVersion(header http.Header) (allowed bool, bad *protocolError) {
	version := header.Get(mcp.HeaderProtocolVersion)
	switch {
	case isModern(version):
		return false, nil
	case version != "" && !mcp.IsValidProtocolVersion(version):
		return false, unsupportedVersion(version, mcp.ValidProtocolVersions)
	}
	return true, nil
}
