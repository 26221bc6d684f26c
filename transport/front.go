package transport

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"sync"
)

// front answers HTTP requests that the guard has let in.
type front struct {
	server   *Server
	requests *requests
	limit    int // of streams of a token; 0 is none
	stopping context.Context

	mu      sync.Mutex         // guards the fields below
	open    map[string]int     // streams, by token
	streams map[string]*stream // legacy event streams, by name
}

// stream is an open legacy event stream.
type stream struct {
	peer
	ctx context.Context // ends with it
}

// read reads the message of a POST, which the guard has in memory.
func read(r *http.Request) (message, *protocolError) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return message{}, &protocolError{code: codeParse, text: "the body did not arrive"}
	}
	return parse(body)
}

// refuseLate answers a request that comes while the server stops.
func refuseLate(w http.ResponseWriter, m *message) {
	w.Header().Set("Retry-After", "1")
	answerJSON(w, http.StatusServiceUnavailable, encodeError(&protocolError{id: m.id, code: codeInternal, text: "the server is stopping; try again when it is back"}))
}

// takeStream takes one of the streams that a token may have, or answers that there are
// too many.
func (f *front) takeStream(w http.ResponseWriter, token string) (done func(), ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.limit > 0 && f.open[token] >= f.limit {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "proctor: this token has "+strconv.Itoa(f.limit)+" streams open, the most that --max-streams-per-token allows; close one and try again", http.StatusTooManyRequests)
		return nil, false
	}
	f.open[token]++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.open[token]--; f.open[token] == 0 {
			delete(f.open, token)
		}
	}, true
}

// notAllowed answers a request whose method its path does not have.
func notAllowed(w http.ResponseWriter, allowed, text string) {
	w.Header().Set("Allow", allowed) // RFC 9110, 15.5.6
	http.Error(w, "proctor: "+text, http.StatusMethodNotAllowed)
}
