package transport

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/proctor-mcp/proctor/caller"
)

const (
	headerTime     = 10 * time.Second
	idleTime       = 2 * time.Minute
	maxHeaderBytes = 64 << 10
	// stopTime is how long open calls may still answer when the server stops.
	stopTime = 500 * time.Millisecond
)

// HTTP serves Streamable HTTP and the legacy HTTP+SSE transport.
type HTTP struct {
	Server *Server
	// Identify returns who sends an Authorization header, and whether that client may
	// come in.
	Identify func(authorization string) (caller.Identity, bool)
	// AllowHosts and AllowOrigins are accepted beside loopback. Pages of
	// AllowOrigins are granted what CORS asks for.
	AllowHosts, AllowOrigins []string
	// MaxConnections, of each listener, and MaxStreamsPerToken limit what is open at
	// a time; 0 is no limit. Whatever they say, the connections of all listeners take
	// at most half of the file descriptors that the program may have (RLIMIT_NOFILE).
	MaxConnections, MaxStreamsPerToken int
	Log                                *slog.Logger
}

// Serve serves all listeners until ctx ends or one fails. It closes them, lets open
// calls answer for a moment and returns the failure, or nil.
func (h *HTTP) Serve(ctx context.Context, listeners ...net.Listener) error {
	stopping, stopStreams := context.WithCancel(context.Background())
	defer stopStreams()
	f := &front{
		server: h.Server, requests: newRequests(), limit: h.MaxStreamsPerToken, stopping: stopping,
		open: map[string]int{}, streams: map[string]*stream{},
	}
	hs := &http.Server{
		Handler:           &guard{hosts: h.AllowHosts, origins: h.AllowOrigins, identify: h.Identify, log: h.Log, large: make(chan struct{}, largeRequests), next: f.serve},
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
	h.Server.EndWaits()
	f.requests.awaitIdle(stopTime)
	stopStreams()
	stop, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	if hs.Shutdown(stop) != nil {
		hs.Close()
	}
	serving.Wait()
	return err
}

// serve answers a request of a client that may come in.
func (f *front) serve(w http.ResponseWriter, r *http.Request, id caller.Identity) {
	switch r.URL.Path {
	case "/mcp":
		f.serveMCP(w, r, id)
	case "/sse":
		f.serveSSE(w, r, id)
	case "/message":
		f.serveMessage(w, r, id)
	default:
		http.Error(w, "proctor: there is nothing here; the paths are /mcp, and for legacy clients /sse and /message", http.StatusNotFound)
	}
}
