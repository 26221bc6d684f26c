package transport

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
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
	Server *server.MCPServer
	// Tokens let requests in, one of them suffices. NoAuth lets everybody in.
	Tokens []Token
	NoAuth bool
	// AllowHosts and AllowOrigins are accepted beside loopback hosts and beside
	// requests without an origin.
	AllowHosts, AllowOrigins []string
	// EndWaits makes waiting calls answer; it is called when the server stops.
	EndWaits func()
	Log      *slog.Logger
}

// Serve serves all listeners until ctx ends or one fails. It closes them, lets
// open calls answer for a moment and returns the failure, or nil.
func (h *HTTP) Serve(ctx context.Context, listeners ...net.Listener) error {
	sse := server.NewSSEServer(h.Server,
		// What is there to discover must be what this transport can serve.
		server.WithSSEContextFunc(func(ctx context.Context, _ *http.Request) context.Context {
			return server.WithSupportedProtocolVersions(ctx, mcp.LegacyProtocolVersions())
		}),
		server.WithSSEDisableLocalhostProtection(true))
	streamable := server.NewStreamableHTTPServer(h.Server,
		server.WithStateLess(true),
		server.WithStreamableHTTPLogger(h.Log),
		server.WithDisableLocalhostProtection(true)) // the guard decides
	mux := http.NewServeMux()
	mux.Handle("/mcp", streamable)
	mux.Handle("/sse", sse.SSEHandler())
	mux.Handle("/message", sse.MessageHandler())

	hs := &http.Server{
		Handler:           &guard{hosts: h.AllowHosts, origins: h.AllowOrigins, tokens: h.Tokens, noAuth: h.NoAuth, log: h.Log, next: mux},
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(h.Log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, len(listeners))
	var serving sync.WaitGroup
	for _, l := range listeners {
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
	h.EndWaits()
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
