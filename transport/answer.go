package transport

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/proctor-mcp/proctor/tools"
)

const (
	// aliveEvery is how often a stream on which nothing happens is kept alive, and
	// when a call that waits becomes a stream.
	aliveEvery = 15 * time.Second
	// writeTime is how long a client may take to read what is written to it.
	writeTime = 30 * time.Second
)

// answerWriter stands between the MCP library and the client of one HTTP
// request. It puts answers into the client's words (encode.go), turns one that
// takes long into an event stream and keeps streams alive.
type answerWriter struct {
	w        http.ResponseWriter
	http     *http.ResponseController
	encoder  encoder
	requests *requests
	streams  bool        // the client takes an event stream
	header   http.Header // the library's; ours are written only under mu

	mu        sync.Mutex // guards the fields below, and w
	status    int        // as the library says, 0 before
	body      bytes.Buffer
	streaming bool // the event stream has begun
	ended     bool
	alive     *time.Timer
}

func newAnswerWriter(w http.ResponseWriter, r *http.Request, e encoder, all *requests) *answerWriter {
	a := &answerWriter{
		w: w, http: http.NewResponseController(w), encoder: e, requests: all,
		streams: strings.Contains(r.Header.Get("Accept"), "text/event-stream"),
		header:  http.Header{},
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.alive = time.AfterFunc(aliveEvery, a.keepAlive)
	return a
}

// Header implements http.ResponseWriter.
func (a *answerWriter) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter. What is no stream is held back
// until it is whole.
func (a *answerWriter) WriteHeader(status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.headerLocked(status)
}

func (a *answerWriter) headerLocked(status int) {
	if a.status != 0 {
		return
	}
	a.status = status
	if a.isStream() {
		a.beginLocked()
	}
}

func (a *answerWriter) isStream() bool {
	return strings.HasPrefix(a.header.Get("Content-Type"), "text/event-stream")
}

// Write implements http.ResponseWriter. The library writes an event at once.
func (a *answerWriter) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.headerLocked(http.StatusOK)
	if !a.isStream() {
		return a.body.Write(p)
	}
	if data, ok := bytes.CutPrefix(p, []byte("event: message\ndata: ")); ok {
		return len(p), a.messageLocked(bytes.TrimRight(data, "\n"))
	}
	return len(p), a.sendLocked(p)
}

// Flush implements http.Flusher. Events are flushed as they are written; this
// one lets the client know that a stream has begun.
func (a *answerWriter) Flush() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.streaming && !a.ended {
		_ = a.http.Flush() // a client that is gone needs no stream
	}
}

// finish writes an answer that is no stream.
func (a *answerWriter) finish() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.alive.Stop()
	a.ended = true
	switch {
	case a.status == 0 || a.isStream():
	case a.streaming:
		_ = a.messageLocked(bytes.TrimSpace(a.body.Bytes())) // a client that is gone needs no answer
	default:
		text := a.body.Bytes()
		if number, ok := numbered(text); ok {
			if q := a.requests.answer(number); q != nil {
				text = append(a.encoder.rewrite(text, q), '\n')
				if f := q.slot.Failure; f != nil && q.slot.Modern { // the library knows another code
					a.status = statusOf(f.Code)
				}
			}
		}
		for name, values := range a.header {
			a.w.Header()[name] = values
		}
		a.w.Header().Set("Cache-Control", "no-store")
		a.w.Header().Del("Access-Control-Allow-Origin")
		_ = a.http.SetWriteDeadline(time.Now().Add(writeTime))
		a.w.WriteHeader(a.status)
		_, _ = a.w.Write(text)
	}
}

// statusOf returns the status that protocol 2026-07-28 prescribes for an error. Before
// it, all that the server has understood is answered with 200.
func statusOf(code int) int {
	switch code {
	case mcp.METHOD_NOT_FOUND:
		return http.StatusNotFound
	case mcp.PARSE_ERROR, mcp.INVALID_REQUEST, mcp.INVALID_PARAMS:
		return http.StatusBadRequest
	default:
		return http.StatusOK
	}
}

// messageLocked writes one message of the library as an event.
func (a *answerWriter) messageLocked(text []byte) error {
	number, ok := numbered(text)
	if !ok {
		return a.eventLocked(text)
	}
	defer a.requests.finish(number)
	q := a.requests.answer(number)
	if q == nil {
		return nil // it was cancelled
	}
	return a.eventLocked(a.encoder.rewrite(text, q))
}

func (a *answerWriter) eventLocked(text []byte) error {
	event := make([]byte, 0, len(text)+32)
	event = append(append(append(event, "event: message\ndata: "...), text...), "\n\n"...)
	return a.sendLocked(event)
}

// beginLocked begins the event stream.
func (a *answerWriter) beginLocked() {
	if a.streaming {
		return
	}
	a.streaming = true
	h := a.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // a proxy must not hold events back
	a.w.WriteHeader(http.StatusOK)
}

func (a *answerWriter) sendLocked(p []byte) error {
	_ = a.http.SetWriteDeadline(time.Now().Add(writeTime))
	if _, err := a.w.Write(p); err != nil {
		return err
	}
	a.alive.Reset(aliveEvery)
	return a.http.Flush()
}

// keepAlive tells whoever stands between that the stream is not dead.
func (a *answerWriter) keepAlive() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended || !a.streams && !a.streaming {
		return
	}
	a.beginLocked()
	_ = a.sendLocked([]byte(": still here\n\n")) // if not, the request ends by itself
}

// refuse answers a message that is none, or not one for this server.
func (a *answerWriter) refuse(bad *protocolError) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.streaming && !a.ended {
		_ = a.eventLocked(bad.encode()) // a client that is gone needs no answer
	}
}

// end stops everything that is still to come.
func (a *answerWriter) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.alive.Stop()
	a.ended = true
}

// notify returns how to notify the client of a request. Nothing is written
// behind its answer.
func (a *answerWriter) notify(number uint64) tools.Notify {
	return func(method string, params map[string]any) {
		text, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "method": method, "params": params})
		if err != nil {
			return
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.ended || !a.streams && !a.streaming || a.requests.active(number) == nil {
			return
		}
		a.beginLocked()
		_ = a.eventLocked(text) // a client that is gone needs no progress
	}
}
