package transport

import (
	"context"
	"net/http"

	"github.com/proctor-mcp/proctor/caller"
)

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

// begin accepts a request. If it is its turn already, begin returns what answers it;
// else it is answered in a goroutine of its own when it is. begun is called first then.
// ok is false if no more requests are taken.
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
