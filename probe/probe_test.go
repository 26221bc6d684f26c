package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proctor-mcp/proctor/proctest"
)

func TestMain(m *testing.M) { proctest.Main(m, nil) }

// serve answers on a free port until the end of the test.
func serve(t *testing.T, answer http.HandlerFunc) (url string) {
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	return s.URL
}

// listen accepts nothing by itself.
func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func portOf(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

// twice is when the first try is over.
const twice = 2

// untilAsked answers with a status, and calls enough when it is asked for the nth time.
func untilAsked(n int, enough func(), status int) http.HandlerFunc {
	var asked atomic.Int64
	return func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == int64(n) {
			enough()
		}
		w.WriteHeader(status)
	}
}

func TestAnswers(t *testing.T) {
	for status, works := range map[int]bool{200: true, 204: true, 299: true, 302: true, 304: true, 399: true, 400: false, 404: false, 500: false, 503: false} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		url := serve(t, untilAsked(twice, cancel, status))
		err := HTTP(ctx, url)
		if works && err != nil {
			t.Errorf("%d: %v", status, err)
		}
		if !works && (!errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), strconv.Itoa(status))) {
			t.Errorf("%d: got %v", status, err)
		}
	}
}

func TestPausesDouble(t *testing.T) {
	var came []time.Time
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if came = append(came, time.Now()); len(came) < 5 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	began := time.Now()
	if err := HTTP(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	for i := 1; i < len(came); i++ {
		if after := came[i].Sub(began); after < firstPause*time.Duration(1<<i-1) {
			t.Errorf("try %d after %v", i+1, after)
		}
	}
}

func TestNothingIsFollowedReadOrKept(t *testing.T) {
	requests, written := 0, make(chan error, 1)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests++
		if !r.Close {
			t.Error("the connection was to be kept")
		}
		w.Header().Set("Location", "http://192.0.2.1/elsewhere")
		w.WriteHeader(http.StatusFound)
		for { // until nobody reads any more
			if _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err != nil {
				select {
				case written <- err:
				default:
				}
				return
			}
		}
	})
	if err := HTTP(t.Context(), url); err != nil {
		t.Error(err)
	}
	<-written
	if requests != 1 {
		t.Errorf("%d requests", requests)
	}
}

func TestSelfSignedCertificate(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := httptest.NewTLSServer(untilAsked(twice, cancel, http.StatusNotFound))
	defer s.Close()
	if err := HTTP(ctx, s.URL); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("got %v", err)
	}
}

// The server never answers the first connection.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	l := listen(t, "127.0.0.1:0")
	url := "http://" + l.Addr().String()
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- HTTP(ctx, url) }()
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), errNoAnswer.Error()) {
		t.Errorf("got %v", err)
	}

	began := time.Now()
	go func() { done <- HTTP(t.Context(), url) }()
	second, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	s := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	defer s.Close()
	go s.Serve(l) // answers the third
	err = <-done
	if took := time.Since(began); err != nil || took < tryTimeout { // clock: it may take longer
		t.Errorf("after %v: %v", took, err)
	}
}

// A server accepts a connection without an answer, goes away, and starts again.
func TestLateServer(t *testing.T) {
	l := listen(t, fmt.Sprintf("127.0.0.1:%d", proctest.Port(t)))
	done := make(chan error, 1)
	go func() { done <- HTTP(t.Context(), "http://"+l.Addr().String()) }()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	conn.Close()
	s := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	defer s.Close()
	go s.Serve(listen(t, l.Addr().String()))
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestCancel(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- HTTP(ctx, "http://"+l.Addr().String()) }()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	for _, err := range []error{HTTP(ctx, "http://localhost"), Port(ctx, 80)} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
}

// localhost stands for both addresses, and the server gets the given name as host.
func TestLocalhost(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		if strings.HasPrefix(address, "[") {
			proctest.NeedIPv6(t)
		}
		l := listen(t, address)
		hosts := make(chan string, 1)
		s := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { hosts <- r.Host })}
		defer s.Close()
		go s.Serve(l)
		host := fmt.Sprintf("LocalHost:%d", portOf(l))
		if err := HTTP(t.Context(), "http://"+host+"/health?x=y#z"); err != nil || <-hosts != host {
			t.Errorf("%s: %v", address, err)
		}
		if err := Port(t.Context(), portOf(l)); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	if err := HTTP(t.Context(), "http://example.com"); !errors.As(err, new(*InputError)) {
		t.Errorf("got %v", err)
	}
}

func TestPort(t *testing.T) {
	port := proctest.Port(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond) // clock: nobody announces a try that is refused
	defer cancel()
	if err := Port(ctx, port); !errors.Is(err, context.DeadlineExceeded) || errors.As(err, new(*PendingError)) && !strings.Contains(err.Error(), "refused") {
		t.Errorf("closed: got %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- Port(t.Context(), port) }()
	listen(t, fmt.Sprintf("127.0.0.1:%d", port))
	if err := <-done; err != nil {
		t.Errorf("late: %v", err)
	}
	for _, port := range []int{-1, 0, 65536, 65536 + port} {
		if err := Port(t.Context(), port); !errors.As(err, new(*InputError)) {
			t.Errorf("%d: got %v", port, err)
		}
	}
}

func TestCheckURL(t *testing.T) {
	for _, url := range []string{
		"http://localhost", "http://localhost:3000/path?q=1", "HTTPS://LOCALHOST:1", "http://127.0.0.1:8080/", "http://127.9.8.7", "https://[::1]:65535/x", "http://[0:0::1]",
	} {
		if _, err := CheckURL(url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, url := range []string{
		"", "localhost:3000", "/path", "http:localhost", "http:///path", "ftp://localhost", "file:///etc/passwd", "http+unix://localhost",
		"http://example.com", "http://localhost.example.com", "http://localhost.", "http://a.localhost", "http://0.0.0.0:80", "http://[::]", "http://192.0.2.1", "http://[fe80::1%25lo]", "http://[::1%25lo]", "http://[::ffff:127.0.0.1]",
		"http://127.1", "http://2130706433", "http://0x7f000001", "http://0177.0.0.1", "http://127.0.0.1.", "http://127.0.0.1%2eexample.com", "http://127.0.0.1\\@example.com", "http://localhost\n",
		"http://secret:secret@localhost", "http://secret@127.0.0.1", "http://localhost@secret", "http://localhost:0", "http://localhost:65536", "http://localhost:99999999999999999999", "http://localhost:-1", "http://localhost:http",
	} {
		var refused *InputError
		if _, err := CheckURL(url); !errors.As(err, &refused) || refused.Field != "url" || refused.Got == "" || refused.Want == "" || strings.Contains(err.Error(), "secret:") {
			t.Errorf("%q: got %v", url, err)
		}
	}
}
