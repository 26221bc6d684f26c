package transport

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/proctor-mcp/proctor/caller"
	"github.com/proctor-mcp/proctor/probe"
)

const (
	// MaxBodyBytes is the largest HTTP request body.
	MaxBodyBytes = 4 << 20
	// bodyIdleTime is how long a body may pause, bodyTime how long it may take in all.
	bodyIdleTime = 30 * time.Second
	bodyTime     = 5 * time.Minute
)

// guard lets requests in, on every path and with every method.
type guard struct {
	hosts, origins []string // allowed beyond loopback
	identify       func(authorization string) (caller.Identity, bool)
	log            *slog.Logger
	large          chan struct{} // see bodyReader
	next           func(http.ResponseWriter, *http.Request, caller.Identity)
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if len(r.TransferEncoding) > 0 || !r.ProtoAtLeast(1, 1) {
		// "A server MAY reject a request that contains both Content-Length and
		// Transfer-Encoding or process such a request in accordance with the
		// Transfer-Encoding alone. Regardless, the server MUST close the connection
		// after responding to such a request" (RFC 9112, 6.1). net/http hides the length of
		// such a request, and the encoding if it is HTTP/1.0, so all like it are closed.
		w.Header().Set("Connection", "close")
	}
	// A response moves this on whenever it writes.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTime))
	origins := r.Header.Values("Origin")
	granted := ""
	switch {
	// A page whose name was bound to our address by DNS sends that name as host.
	case !g.hostAllowed(r.Host):
		g.refuse(w, r, http.StatusForbidden, "the Host header names neither loopback nor a host allowed by --allow-host")
		return
	// "Servers MUST validate the Origin header on all incoming connections to
	// prevent DNS rebinding attacks" (MCP, Streamable HTTP, security warning).
	case len(origins) > 0 && !g.originAllowed(origins):
		g.refuse(w, r, http.StatusForbidden, "the Origin header names no origin allowed by --allow-origin")
		return
	case len(origins) > 0 && slices.ContainsFunc(g.origins, func(o string) bool { return strings.EqualFold(o, origins[0]) }):
		granted = origins[0]
		grant(w.Header(), granted, r.Header.Get("Access-Control-Request-Headers"))
	case r.Header.Get("Sec-Fetch-Site") == "cross-site":
		g.refuse(w, r, http.StatusForbidden, "a web page of another site sent it (Sec-Fetch-Site)")
		return
	}
	if granted != "" && r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
		w.WriteHeader(http.StatusNoContent) // a preflight carries no token
		return
	}
	id, ok := g.identify(r.Header.Get("Authorization"))
	if !ok || len(r.Header.Values("Authorization")) > 1 {
		w.Header().Set("WWW-Authenticate", `Bearer realm="proctor"`)
		g.refuse(w, r, http.StatusUnauthorized, "send the token that the server was started with as Authorization: Bearer TOKEN")
		return
	}
	if r.Method == http.MethodPost {
		done, ok := g.readBody(w, r)
		if !ok {
			return
		}
		defer done()
	}
	g.next(w, r, id)
}

// grant lets the pages of an allowed origin read the answers (Fetch standard, CORS
// protocol). It grants no credentials: a browser sends no token by itself.
func grant(h http.Header, origin, headers string) {
	h.Set("Access-Control-Allow-Origin", origin)
	h.Add("Vary", "Origin")
	h.Set("Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS")
	if headers != "" {
		h.Set("Access-Control-Allow-Headers", headers) // flags decide which ones matter
	}
	h.Set("Access-Control-Expose-Headers", "Mcp-Session-Id, WWW-Authenticate, Retry-After")
	h.Set("Access-Control-Max-Age", "600")
}

// refuse answers a request that may not come in, and writes that to the log.
func (g *guard) refuse(w http.ResponseWriter, r *http.Request, status int, why string) {
	g.log.Info("request refused", "status", status, "why", why, "method", clip(r.Method), "path", clip(r.URL.Path),
		"host", clip(r.Host), "origin", clip(r.Header.Get("Origin")), "remote", r.RemoteAddr)
	// The rest of the body is not read.
	w.Header().Set("Connection", "close")
	http.Error(w, "proctor: "+why, status)
}

// clip limits what a stranger can write into the log.
func clip(s string) string { return s[:min(len(s), 100)] }

// readBody reads the body of r into memory, so that no handler gets more of it than is
// allowed. It returns false if it has refused the request. Otherwise done gives back the
// place of a large body.
func (g *guard) readBody(w http.ResponseWriter, r *http.Request) (done func(), ok bool) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		g.refuse(w, r, http.StatusUnsupportedMediaType, "the Content-Type must be application/json")
		return nil, false
	}
	control := http.NewResponseController(w)
	p := &bodyReader{
		body: http.MaxBytesReader(w, r.Body, MaxBodyBytes), control: control, until: time.Now().Add(bodyTime), large: g.large,
	}
	body, err := io.ReadAll(p)
	if err != nil {
		p.done()
		switch tooLarge := new(http.MaxBytesError); {
		case errors.As(err, &tooLarge):
			g.refuse(w, r, http.StatusRequestEntityTooLarge, "the body is larger than 4 MiB")
		case errors.Is(err, errBusy):
			w.Header().Set("Retry-After", "1")
			g.refuse(w, r, http.StatusServiceUnavailable, "too many large requests at once; try again in a second")
		default:
			g.refuse(w, r, http.StatusBadRequest, "the body did not arrive in time")
		}
		return nil, false
	}
	_ = control.SetReadDeadline(time.Time{})
	r.Body = io.NopCloser(bytes.NewReader(body))
	return p.done, true
}

const (
	// A request of more than smallBytes takes one of largeRequests places until it is
	// answered.
	smallBytes    = 64 << 10
	largeRequests = 8
)

var errBusy = errors.New("too many large requests")

// bodyReader reads a body. It gives up on one that pauses for too long, and takes a place
// for one that turns out to be large.
type bodyReader struct {
	body    io.Reader
	control *http.ResponseController
	until   time.Time
	large   chan struct{} // holds one for each large request in progress
	read    int
	placed  bool
}

func (p *bodyReader) done() {
	if p.placed {
		p.placed = false
		<-p.large
	}
}

func (p *bodyReader) Read(b []byte) (int, error) {
	deadline := time.Now().Add(bodyIdleTime)
	if deadline.After(p.until) {
		deadline = p.until
	}
	if err := p.control.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	n, err := p.body.Read(b)
	if p.read += n; p.read > smallBytes && !p.placed {
		select {
		case p.large <- struct{}{}:
			p.placed = true
		default:
			return n, errBusy
		}
	}
	return n, err
}

func (g *guard) hostAllowed(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	return probe.Loopback(strings.Trim(name, "[]")) != nil || slices.ContainsFunc(g.hosts, func(allowed string) bool {
		return strings.EqualFold(allowed, name) || strings.EqualFold(allowed, host)
	})
}

// originAllowed accepts pages that come from this machine, and origins that are allowed
// by name.
func (g *guard) originAllowed(origins []string) bool {
	if len(origins) != 1 {
		return false
	}
	o, err := url.Parse(origins[0])
	if err != nil || o.Host == "" || o.Scheme != "http" && o.Scheme != "https" {
		return false
	}
	return probe.Loopback(o.Hostname()) != nil || slices.ContainsFunc(g.origins, func(allowed string) bool {
		return strings.EqualFold(allowed, o.Scheme+"://"+o.Host)
	})
}
