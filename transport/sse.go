package transport

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/proctor-mcp/proctor/caller"
)

// maxPerStream is how many requests may be in progress for one legacy event stream.
const maxPerStream = 1024

// serveSSE opens a legacy event stream (MCP 2024-11-05, HTTP with SSE). Its first event
// names where to send messages; their answers come on the stream.
func (f *front) serveSSE(w http.ResponseWriter, r *http.Request, id caller.Identity) {
	if r.Method != http.MethodGet {
		notAllowed(w, http.MethodGet, "open the event stream with GET")
		return
	}
	done, ok := f.takeStream(w, id.Token)
	if !ok {
		return
	}
	defer done()
	a := newResponse(w, r)
	defer a.end()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	name := uuid.NewString()
	s := &stream{peer{f.server, f.requests, name, id, a.send}, ctx}
	f.mu.Lock()
	f.streams[name] = s
	f.mu.Unlock()
	a.event("endpoint", "/message?sessionId="+name)
	select {
	case <-ctx.Done():
	case <-f.stopping.Done():
	}
	f.mu.Lock()
	delete(f.streams, name)
	f.mu.Unlock()
	f.requests.drop(name)
}

// serveMessage takes a message whose answer travels on an event stream.
func (f *front) serveMessage(w http.ResponseWriter, r *http.Request, id caller.Identity) {
	if r.Method != http.MethodPost {
		notAllowed(w, http.MethodPost, "send messages with POST")
		return
	}
	f.mu.Lock()
	s := f.streams[r.URL.Query().Get("sessionId")]
	f.mu.Unlock()
	if s == nil || s.identity.Token != id.Token { // only who opened a stream may send to it
		http.Error(w, "proctor: there is no such event stream; open one with GET /sse and use the endpoint that it names", http.StatusNotFound)
		return
	}
	m, bad := read(r)
	ctx := s.ctx
	if bad == nil && m.isRequest() {
		ctx, bad = onLegacyStream(ctx, &m)
	}
	switch {
	case bad != nil && m.id == nil:
		answerJSON(w, statusOf(bad.code), encodeError(bad))
		return
	case bad != nil:
		bad.id = m.id
		s.refuse(bad, func() {})
	case m.method == methodCancelled:
		f.requests.cancel(s.owner, m.cancels)
	case m.method == "":
	case m.id == nil:
		f.server.library.notice(r.Context(), &m)
	case f.requests.count(s.owner) >= maxPerStream:
		w.Header().Set("Retry-After", "1")
		answerJSON(w, http.StatusTooManyRequests, encodeError(&protocolError{id: m.id, code: codeInternal, text: "too many requests wait for this event stream; read it, then try again"}))
		return
	default:
		answer, ok := s.begin(ctx, m, r.Header, func() {})
		if !ok {
			refuseLate(w, &m)
			return
		}
		if answer != nil {
			go answer()
		}
	}
	w.WriteHeader(http.StatusAccepted)
}
