package transport

import (
	"context"
	"net/http"
	"strings"

	"github.com/proctor-mcp/proctor/caller"
)

// serveMCP serves Streamable HTTP. There are no sessions: each request stands alone.
func (f *front) serveMCP(w http.ResponseWriter, r *http.Request, id caller.Identity) {
	allowed, bad := checkVersion(r.Header)
	switch {
	case r.Method == http.MethodPost:
		f.servePost(w, r, id)
	case r.Method == http.MethodHead:
		w.WriteHeader(http.StatusOK)
	case r.Method != http.MethodGet && r.Method != http.MethodDelete:
		notAllowed(w, "GET, POST, DELETE", "send requests with POST")
	case bad != nil:
		answerJSON(w, http.StatusBadRequest, encodeError(bad))
	case !allowed:
		notAllowed(w, http.MethodPost, "protocol 2026-07-28 has no "+r.Method+" here; send requests with POST")
	case r.Method == http.MethodDelete:
		w.WriteHeader(http.StatusOK) // it would end a session, and there is none
	case !strings.Contains(r.Header.Get("Accept"), "text/event-stream"):
		http.Error(w, "proctor: send requests with POST; GET opens an event stream, for clients that accept text/event-stream", http.StatusNotAcceptable)
	default:
		f.serveIdleStream(w, r, id)
	}
}

// serveIdleStream opens a stream of messages that belong to no request. There are none.
func (f *front) serveIdleStream(w http.ResponseWriter, r *http.Request, id caller.Identity) {
	done, ok := f.takeStream(w, id.Token)
	if !ok {
		return
	}
	defer done()
	a := newResponse(w, r)
	defer a.end()
	a.begin()
	select {
	case <-r.Context().Done():
	case <-f.stopping.Done():
	}
}

// servePost answers a message that was sent to /mcp.
func (f *front) servePost(w http.ResponseWriter, r *http.Request, id caller.Identity) {
	m, bad := read(r)
	if bad == nil {
		bad = f.server.library.checkHeaders(r.Header, &m)
	}
	if bad != nil {
		status := statusOf(bad.code)
		if status == http.StatusNotFound && !m.isModern() {
			status = http.StatusOK // a 404 would mean that a session is gone
		}
		bad.id = m.id
		answerJSON(w, status, encodeError(bad))
		return
	}
	if !m.isRequest() {
		// A client cancels by closing its connection here. An id alone does not tell
		// whose request a notifications/cancelled means.
		if m.method != "" && m.method != methodCancelled {
			f.server.library.notice(r.Context(), &m)
		}
		w.WriteHeader(http.StatusAccepted)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	q := &request{message: m, cancel: cancel}
	if !f.requests.begin(q) {
		cancel()
		refuseLate(w, &m)
		return
	}
	defer f.requests.finish(q)
	a := newResponse(w, r)
	defer a.end()
	f.server.accept(q, r.Header, id, func(method string, params map[string]any) {
		a.send(encodeNotification(method, params), func() bool { return f.requests.mayNotify(q) })
	})
	text, code, err := f.inTurn(ctx, q)
	if err != nil {
		return // the client is gone
	}
	status := http.StatusOK
	if q.isModern() {
		status = statusOf(code)
	}
	if f.requests.mayAnswer(q) {
		a.answer(status, text)
	}
}

// inTurn answers a request when it is its turn, which ends before the answer is
// written: a client that does not read holds up nobody.
func (f *front) inTurn(ctx context.Context, q *request) (text []byte, code int, err error) {
	defer q.call.Done()
	if err := q.call.Turn(ctx); err != nil {
		return nil, 0, err
	}
	text, code = f.server.answer(ctx, q)
	return text, code, nil
}
