package transport

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/proctor-mcp/proctor/caller"
	"github.com/proctor-mcp/proctor/tools"
)

// Server answers requests: tool calls and reads of resources with Proctor's tools,
// everything else with the MCP library. All transports share one.
type Server struct {
	tools   *tools.Tools
	library library
	info    json.RawMessage // who answers, for requests that want to know
	log     *slog.Logger
}

// NewServer returns a server with the tools. version is that of the program.
func NewServer(ts *tools.Tools, version string, log *slog.Logger) *Server {
	return &Server{tools: ts, library: newLibrary(ts, version), info: encodeInfo("proctor", "Proctor", version), log: log}
}

// Library returns the MCP library's server, for programs that add tools of their own.
func (s *Server) Library() *MCPServer { return s.library.MCPServer }

// EndWaits makes every call that waits, now or later, answer with what there is.
func (s *Server) EndWaits() { s.tools.EndWaits() }

// accept takes a request in. notify sends notifications to its client.
func (s *Server) accept(q *request, header http.Header, id caller.Identity, notify func(method string, params map[string]any)) {
	r := tools.Request{
		Tool: q.tool, Arguments: q.arguments, Header: header, Identity: id,
		ProgressToken: q.progressToken, Notify: notify,
	}
	if !s.tools.Has(q.tool) {
		r.Tool = "" // the library answers it
	}
	if q.meta != nil {
		_ = json.Unmarshal(q.meta, &r.Meta) // it is a valid object
	}
	q.call = s.tools.Accept(r)
	if q.isDirect() {
		// The call can wait for long, and the message can be large.
		q.text, q.params, q.arguments, q.meta = nil, nil, nil, nil
	}
}

// isDirect reports whether a request goes to its tool directly, past the library.
func (q *request) isDirect() bool { return q.call.Tool != "" && !q.isModern() }

// answer returns the answer to a request, whose turn it must be, and the code of its
// error, or 0.
func (s *Server) answer(ctx context.Context, q *request) (text []byte, code int) {
	defer func() {
		if p := recover(); p != nil { // of the library: tools recover from their own
			s.log.Error("panic while answering", "panic", p, "stack", string(debug.Stack()))
			text, code = encodeError(&protocolError{id: q.id, code: codeInternal, text: internalText}), codeInternal
		}
	}()
	if q.isDirect() {
		return encodeReply(&q.message, q.call.Run(ctx), s.info), 0
	}
	result, failure := s.library.answer(ctx, q)
	switch {
	case failure != nil:
		failure.id = q.id
		return encodeError(failure), failure.code
	case q.reply != nil:
		return encodeReply(&q.message, *q.reply, s.info), 0
	}
	return encodeResult(q.id, result), 0
}

// peer is a client that sends requests at any time and reads their answers, in any
// order, from one stream: the client of stdio, or of a legacy event stream.
type peer struct {
	server   *Server
	requests *requests
	owner    string
	identity caller.Identity
	// send writes one message, unless still is not nil and returns false by then.
	send func(text []byte, still func() bool)
}

// refuse answers a message that is no request, and then calls sent.
func (p *peer) refuse(bad *protocolError, sent func()) {
	q := &request{owner: p.owner, cancel: func() {}}
	if !p.requests.begin(q) {
		sent()
		return
	}
	go func() {
		defer p.requests.finish(q)
		defer sent()
		p.send(encodeError(bad), nil)
	}()
}

// begin accepts a request. If its turn has come, begin returns the function that answers it;
// else a new goroutine answers it when its turn comes. begun is called at that time. ok is
// false if no more requests are taken.
func (p *peer) begin(ctx context.Context, m message, header http.Header, begun func()) (answer func(), ok bool) {
	ctx, cancel := context.WithCancel(ctx)
	q := &request{message: m, owner: p.owner, cancel: cancel}
	if !p.requests.begin(q) {
		cancel()
		return nil, false
	}
	p.server.accept(q, header, p.identity, func(method string, params map[string]any) {
		p.send(encodeNotification(method, params), func() bool { return p.requests.mayNotify(q) })
	})
	answer = func() {
		defer p.requests.finish(q)
		defer q.call.Done()
		begun()
		text, _ := p.server.answer(ctx, q)
		q.call.Keep()
		if p.requests.mayAnswer(q) {
			p.send(text, nil)
		}
	}
	if !q.call.Begin(answer) {
		answer = nil
	}
	return answer, true
}
