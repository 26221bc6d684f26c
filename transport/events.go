package transport

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// aliveEvery is how often a stream on which nothing happens is kept alive, and
	// when the answer to a call that waits becomes a stream.
	aliveEvery = 15 * time.Second
	// writeTime is how long a client may take to read what is written to it.
	writeTime = 30 * time.Second
)

// response writes to the client of one HTTP request: either one answer, or an event
// stream, which begins with the first event. A client that accepts streams gets one if
// its answer takes long.
type response struct {
	w       http.ResponseWriter
	control *http.ResponseController
	accepts bool // the client accepts an event stream

	mu     sync.Mutex // guards the fields below, and w
	stream bool       // the event stream has begun
	ended  bool
	alive  *time.Timer
}

func newResponse(w http.ResponseWriter, r *http.Request) *response {
	a := &response{w: w, control: http.NewResponseController(w), accepts: strings.Contains(r.Header.Get("Accept"), "text/event-stream")}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.alive = time.AfterFunc(aliveEvery, a.keepAlive)
	return a
}

// begin begins the event stream.
func (a *response) begin() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.beginLocked()
	_ = a.control.Flush() // a client that is gone needs no stream
}

func (a *response) beginLocked() {
	if a.stream {
		return
	}
	a.stream = true
	h := a.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // a proxy must not hold events back
	a.w.WriteHeader(http.StatusOK)
}

// send writes a message as an event, if still is nil or returns true by then. It writes
// nothing to a client that accepts no stream. It implements send of peer.
func (a *response) send(text []byte, still func() bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended || !a.accepts && !a.stream || still != nil && !still() {
		return
	}
	a.eventLocked("message", text)
}

// event writes an event.
func (a *response) event(name, data string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.eventLocked(name, []byte(data))
}

func (a *response) eventLocked(name string, data []byte) {
	event := make([]byte, 0, len(data)+32)
	event = append(append(event, "event: "...), name...)
	event = append(append(event, "\ndata: "...), data...)
	a.writeLocked(append(event, "\n\n"...))
}

// writeLocked writes to the event stream. An error means that the client is gone: its
// request ends by itself.
func (a *response) writeLocked(p []byte) {
	a.beginLocked()
	_ = a.control.SetWriteDeadline(time.Now().Add(writeTime))
	if _, err := a.w.Write(p); err == nil {
		a.alive.Reset(aliveEvery)
		_ = a.control.Flush()
	}
}

// keepAlive shows those between server and client that the stream is not dead.
func (a *response) keepAlive() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.ended && (a.accepts || a.stream) {
		a.writeLocked([]byte(": still here\n\n"))
	}
}

// answer writes the answer: to the event stream if that has begun, else with that
// status. Nothing is written after it.
func (a *response) answer(status int, text []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.ended:
	case a.stream:
		a.eventLocked("message", text)
	default:
		_ = a.control.SetWriteDeadline(time.Now().Add(writeTime))
		answerJSON(a.w, status, text)
	}
	a.endLocked()
}

// end stops everything that is still to come.
func (a *response) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.endLocked()
}

func (a *response) endLocked() {
	a.alive.Stop()
	a.ended = true
}

// answerJSON answers a request with JSON. A client that is gone needs no answer.
func answerJSON(w http.ResponseWriter, status int, text []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n'))
}
