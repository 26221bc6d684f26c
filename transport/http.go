package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/proctor-mcp/proctor/caller"
	"github.com/proctor-mcp/proctor/tools"
)

const (
	headerTime     = 10 * time.Second
	idleTime       = 2 * time.Minute
	maxHeaderBytes = 64 << 10
	// stopTime is how long open calls may still answer when the server stops.
	stopTime = 500 * time.Millisecond
	// maxPerStream is how many requests may be on their way for one legacy event
	// stream: the library holds their answers until they are read.
	maxPerStream = 1024
)

// HTTP serves Streamable HTTP and the legacy HTTP+SSE transport.
type HTTP struct {
	Server *server.MCPServer
	// Identify says who sends an Authorization header, and whether he may come in.
	Identify func(authorization string) (caller.Identity, bool)
	// AllowHosts and AllowOrigins are accepted beside loopback. Pages of
	// AllowOrigins are granted what CORS asks for.
	AllowHosts, AllowOrigins []string
	// MaxConnections, of each listener, and MaxStreamsPerToken bound what is open at a
	// time; 0 is no bound. Whatever they say, the connections of all listeners take
	// at most half of the descriptors that the program may have (RLIMIT_NOFILE).
	MaxConnections, MaxStreamsPerToken int
	// EndWaits makes waiting calls answer; it is called when the server stops.
	EndWaits func()
	// Version is that of the program.
	Version string
	Log     *slog.Logger
}

// front is what stands before the MCP library's handlers.
type front struct {
	streamable, events, messages http.Handler // the library's

	encoder  encoder
	requests *requests
	limit    int // of streams of a token
	log      *slog.Logger

	mu      sync.Mutex // guards the fields below
	streams map[string]*stream
	open    map[string]int // streams by token
}

// stream is an open legacy event stream.
type stream struct {
	ctx    context.Context
	writer *answerWriter
	token  string // only who opened it may send to it
}

// Serve serves all listeners until ctx ends or one fails. It closes them, lets
// open calls answer for a moment and returns the failure, or nil.
func (h *HTTP) Serve(ctx context.Context, listeners ...net.Listener) error {
	f := &front{
		encoder: newEncoder("proctor", "Proctor", h.Version), requests: newRequests(),
		limit: h.MaxStreamsPerToken, log: h.Log,
		streams: map[string]*stream{}, open: map[string]int{},
	}
	sse := server.NewSSEServer(h.Server,
		// What is there to discover must be what this transport can serve.
		server.WithSSEContextFunc(func(ctx context.Context, _ *http.Request) context.Context {
			return server.WithSupportedProtocolVersions(ctx, mcp.LegacyProtocolVersions())
		}),
		server.WithSessionIDGenerator(func(_ context.Context, r *http.Request) (string, error) { return f.name(r), nil }),
		server.WithSSEDisableLocalhostProtection(true)) // the guard decides
	streamable := server.NewStreamableHTTPServer(h.Server,
		server.WithStateLess(true),
		server.WithStreamableHTTPLogger(h.Log),
		server.WithDisableLocalhostProtection(true))
	f.streamable, f.events, f.messages = streamable, sse.SSEHandler(), sse.MessageHandler()
	mux := http.NewServeMux()
	mux.HandleFunc("/mcp", f.serveMCP)
	mux.HandleFunc("/sse", f.serveSSE)
	mux.HandleFunc("/message", f.serveMessage)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "proctor: there is nothing here; the paths are /mcp, and for legacy clients /sse and /message", http.StatusNotFound)
	})

	hs := &http.Server{
		Handler:           &guard{hosts: h.AllowHosts, origins: h.AllowOrigins, identify: h.Identify, log: h.Log, large: make(chan struct{}, largeRequests), next: mux},
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeaderBytes,
		// "OPTIONS *" would be answered without the guard.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(h.Log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, len(listeners))
	var serving sync.WaitGroup
	most := connectionsEach(h.MaxConnections, len(listeners))
	for _, l := range listeners {
		l = sparing{l}
		if most > 0 {
			l = newBounded(l, most)
		}
		serving.Go(func() {
			if err := hs.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	f.requests.end()
	h.EndWaits()
	f.requests.finished(stopTime)
	sse.CloseSessions()
	streamable.CloseSessions(context.Background())
	stop, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	if hs.Shutdown(stop) != nil {
		hs.Close()
	}
	serving.Wait()
	return err
}

// serveMCP serves Streamable HTTP.
func (f *front) serveMCP(w http.ResponseWriter, r *http.Request) {
	token := caller.IdentityFrom(r.Context()).Token
	if r.Method == http.MethodGet {
		if !strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
			http.Error(w, "proctor: send requests with POST; GET opens an event stream, for clients that accept text/event-stream", http.StatusNotAcceptable)
			return
		}
		if done, ok := f.stream(w, token); ok {
			defer done()
			f.pass(f.streamable, w, r)
		}
		return
	}
	if r.Method != http.MethodPost {
		f.pass(f.streamable, w, r)
		return
	}
	number := f.requests.number()
	m, ok := f.read(w, r, number, nil)
	switch {
	case !ok:
		return
	case m.method == cancelled:
		// Here a client cancels by closing its connection. Which of the requests
		// on their way an id means cannot be told without a session.
		w.WriteHeader(http.StatusAccepted)
		return
	case m.method == "":
		w.WriteHeader(http.StatusAccepted) // an answer, and we have asked for none
		return
	case m.id == nil:
		f.pass(f.streamable, w, r)
		return
	case m.method == string(mcp.MethodSubscriptionsListen):
		done, ok := f.stream(w, token)
		if !ok {
			return
		}
		defer done()
	}
	a := newAnswerWriter(w, r, f.encoder, f.requests)
	q := &request{id: m.id, cancel: func() {}}
	if !f.begin(w, number, q) {
		return
	}
	defer f.requests.finish(number)
	defer a.finish()
	ctx := tools.WithSlot(tools.WithNotify(m.context(r.Context()), a.notify(number)), &q.slot)
	f.streamable.ServeHTTP(a, r.WithContext(ctx))
}

// pass leaves a request that has no answer of a tool to the library.
func (f *front) pass(to http.Handler, w http.ResponseWriter, r *http.Request) {
	a := newAnswerWriter(w, r, f.encoder, f.requests)
	defer a.finish()
	to.ServeHTTP(a, r)
}

type streamKey struct{}

// serveSSE opens a legacy event stream.
func (f *front) serveSSE(w http.ResponseWriter, r *http.Request) {
	token := caller.IdentityFrom(r.Context()).Token
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "proctor: open the event stream with GET", http.StatusMethodNotAllowed)
		return
	}
	done, ok := f.stream(w, token)
	if !ok {
		return
	}
	defer done()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	s := &stream{ctx: ctx, writer: newAnswerWriter(w, r, f.encoder, f.requests), token: token}
	defer s.writer.end()
	f.events.ServeHTTP(s.writer, r.WithContext(context.WithValue(ctx, streamKey{}, s)))
	f.forget(s)
}

// name gives an event stream the name by which messages are sent to it.
func (f *front) name(r *http.Request) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := uuid.NewString()
	f.streams[name] = r.Context().Value(streamKey{}).(*stream)
	return name
}

func (f *front) forget(s *stream) {
	f.mu.Lock()
	var gone string
	for name, known := range f.streams {
		if known == s {
			gone = name
			delete(f.streams, name)
		}
	}
	f.mu.Unlock()
	if gone != "" {
		f.requests.drop(gone)
	}
}

// serveMessage takes a message whose answer travels on an event stream.
func (f *front) serveMessage(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "proctor: send messages with POST", http.StatusMethodNotAllowed)
		return
	}
	name := r.URL.Query().Get("sessionId")
	f.mu.Lock()
	s := f.streams[name]
	f.mu.Unlock()
	if s == nil || s.token != caller.IdentityFrom(r.Context()).Token {
		http.Error(w, "proctor: there is no such event stream; open one with GET /sse and use the endpoint that it names", http.StatusNotFound)
		return
	}
	number := f.requests.number()
	m, ok := f.read(w, r, number, s.writer)
	switch {
	case !ok:
		return
	case m.method == cancelled:
		f.requests.cancel(name, m.cancels)
		w.WriteHeader(http.StatusAccepted)
		return
	case m.method == "":
		w.WriteHeader(http.StatusAccepted)
		return
	case m.id == nil:
		f.messages.ServeHTTP(w, r)
		return
	}
	// The library lets a call go on when its stream is closed.
	ctx, cancel := context.WithCancel(s.ctx)
	q := &request{id: m.id, owner: name, cancel: cancel}
	if f.requests.of(name) >= maxPerStream {
		cancel()
		w.Header().Set("Retry-After", "1")
		answerJSON(w, http.StatusTooManyRequests, encodeError(m.id, mcp.INTERNAL_ERROR, "too many requests wait for this event stream; read it, then try again"))
		return
	}
	if !f.begin(w, number, q) {
		cancel()
		return
	}
	called := tools.WithStream(tools.WithSlot(tools.WithNotify(m.context(r.Context()), s.writer.notify(number)), &q.slot), ctx)
	f.messages.ServeHTTP(w, r.WithContext(called))
}

// read looks at the message of a request and puts our number into it. It answers,
// on the event stream if the request belongs to one, and returns false if it must
// not go on.
func (f *front) read(w http.ResponseWriter, r *http.Request, number uint64, stream *answerWriter) (message, bool) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "proctor: the body did not arrive", http.StatusBadRequest)
		return message{}, false
	}
	m, bad := parse(body, number)
	if bad != nil {
		status := statusOf(bad.code)
		switch {
		case stream != nil && bad.id != nil:
			stream.refuse(bad)
			w.WriteHeader(http.StatusAccepted)
			return message{}, false
		case status == http.StatusNotFound && !m.modern: // that would be a session that is gone
			status = http.StatusOK
		}
		answerJSON(w, status, bad.encode())
		return message{}, false
	}
	r.Body = io.NopCloser(bytes.NewReader(m.text))
	r.ContentLength = int64(len(m.text))
	return m, true
}

// begin takes a request, or answers that it is too late.
func (f *front) begin(w http.ResponseWriter, number uint64, q *request) bool {
	if f.requests.begin(number, q) {
		return true
	}
	w.Header().Set("Retry-After", "1")
	answerJSON(w, http.StatusServiceUnavailable, encodeError(q.id, mcp.INTERNAL_ERROR, "the server is stopping; try again when it is back"))
	return false
}

// stream takes one of the streams that a token may have, or answers that there
// are too many.
func (f *front) stream(w http.ResponseWriter, token string) (done func(), ok bool) {
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

func answerJSON(w http.ResponseWriter, status int, text []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // a client that is gone needs no answer
}
