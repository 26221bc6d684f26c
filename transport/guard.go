package transport

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/proctor-mcp/proctor/caller"
)

const (
	// MaxBodyBytes is the largest HTTP request body.
	MaxBodyBytes = 4 << 20
	// bodyTime is how long a body may take to arrive.
	bodyTime = 30 * time.Second
)

// guard is what stands before the MCP library on every path and method.
type guard struct {
	hosts, origins []string // allowed beyond loopback
	tokens         []Token
	noAuth         bool
	log            *slog.Logger
	next           http.Handler
}

// refuse answers a request that does not get in, and lets the operator know.
func (g *guard) refuse(w http.ResponseWriter, r *http.Request, status int, why string) {
	g.log.Info("request refused", "status", status, "why", why, "method", r.Method, "path", r.URL.Path, "remote", r.RemoteAddr)
	http.Error(w, "proctor: "+why, status)
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	// A page that was bound to our address by DNS sends its own name as host.
	if !g.hostAllowed(r.Host) {
		g.refuse(w, r, http.StatusForbidden, "the Host header names neither loopback nor a host allowed by --allow-host")
		return
	}
	// "Servers MUST validate the Origin header on all incoming connections to
	// prevent DNS rebinding attacks" (MCP, Streamable HTTP, security warning).
	if origins := r.Header.Values("Origin"); len(origins) > 0 && !g.originAllowed(origins) {
		g.refuse(w, r, http.StatusForbidden, "the Origin header names no origin allowed by --allow-origin")
		return
	}
	id := caller.Identity{Token: "anyone"}
	if !g.noAuth {
		var ok bool
		if id, ok = identify(g.tokens, r.Header.Get("Authorization")); !ok {
			w.Header().Set("WWW-Authenticate", `Bearer realm="proctor"`)
			g.refuse(w, r, http.StatusUnauthorized, "send the token that the server was started with as Authorization: Bearer TOKEN")
			return
		}
	}
	if r.Method == http.MethodPost && !g.readBody(w, r) {
		return
	}
	g.next.ServeHTTP(&quietWriter{ResponseWriter: w}, r.WithContext(caller.WithIdentity(r.Context(), id)))
}

// readBody reads the body of r into memory, so that no handler sees more of it
// than is allowed. It answers and returns false if it must not go on.
func (g *guard) readBody(w http.ResponseWriter, r *http.Request) bool {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		g.refuse(w, r, http.StatusUnsupportedMediaType, "the Content-Type must be application/json")
		return false
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTime))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBodyBytes))
	if err != nil {
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			g.refuse(w, r, http.StatusRequestEntityTooLarge, "the body is larger than 4 MiB")
		} else {
			g.refuse(w, r, http.StatusBadRequest, "the body did not arrive")
		}
		return false
	}
	_ = control.SetReadDeadline(time.Time{})
	r.Body = io.NopCloser(bytes.NewReader(body))
	return true
}

func (g *guard) hostAllowed(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	return isLoopback(name) || slices.ContainsFunc(g.hosts, func(allowed string) bool {
		return strings.EqualFold(allowed, name) || strings.EqualFold(allowed, host)
	})
}

// originAllowed accepts pages that this machine serves to itself, and origins
// that were allowed by name.
func (g *guard) originAllowed(origins []string) bool {
	if len(origins) != 1 {
		return false
	}
	o, err := url.Parse(origins[0])
	if err != nil || o.Host == "" || o.Scheme != "http" && o.Scheme != "https" {
		return false
	}
	return isLoopback(o.Hostname()) || slices.ContainsFunc(g.origins, func(allowed string) bool {
		return strings.EqualFold(allowed, o.Scheme+"://"+o.Host)
	})
}

func isLoopback(name string) bool {
	name = strings.Trim(name, "[]")
	if strings.EqualFold(name, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.IsLoopback()
}

// quietWriter takes away the grant that the SSE handler of the MCP library makes
// to every origin.
type quietWriter struct {
	http.ResponseWriter
	written bool
}

func (w *quietWriter) clean() {
	if !w.written {
		w.written = true
		w.Header().Del("Access-Control-Allow-Origin")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Accel-Buffering", "no")
	}
}

func (w *quietWriter) WriteHeader(status int) {
	w.clean()
	w.ResponseWriter.WriteHeader(status)
}

func (w *quietWriter) Write(p []byte) (int, error) {
	w.clean()
	return w.ResponseWriter.Write(p)
}

func (w *quietWriter) Flush() {
	w.clean()
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *quietWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
