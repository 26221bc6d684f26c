package transport

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
)

// Listen listens on HOST:PORT, or on unix:PATH. Only this user can connect to a socket in
// the file system (mode 0600), and each connection is checked for its user once more. A
// socket that a dead server left behind is replaced.
func Listen(address string, log *slog.Logger) (net.Listener, error) {
	path, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		network := "tcp"
		if host, _, err := net.SplitHostPort(address); err == nil && net.ParseIP(host).To4() != nil {
			network = "tcp4" // 0.0.0.0 would listen on IPv6 as well
		}
		return net.Listen(network, address)
	}
	l, err := listenUnix(path)
	if errors.Is(err, syscall.EADDRINUSE) {
		if c, dialErr := net.Dial("unix", path); dialErr == nil {
			c.Close()
			return nil, fmt.Errorf("another server listens on %s", path)
		}
		if info, statErr := os.Lstat(path); statErr == nil && info.Mode().Type() == os.ModeSocket {
			os.Remove(path)
			l, err = listenUnix(path)
		}
	}
	if err != nil {
		return nil, err
	}
	return ownUsers{l, log}, nil
}

// ownUsers accepts only connections of this user, or of root.
type ownUsers struct {
	net.Listener
	log *slog.Logger
}

func (l ownUsers) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		uid, err := peerUID(c.(*net.UnixConn))
		if err == nil && (uid == os.Geteuid() || uid == 0) {
			return c, nil
		}
		l.log.Warn("connection of another user refused", "socket", l.Addr().String(), "uid", uid)
		c.Close()
	}
}

// connectionsEach returns how many connections each of n listeners may have: as many as
// asked for, but all together at most half of the file descriptors that the program may
// have. It needs the others to start processes. 0 is no limit.
func connectionsEach(asked, n int) int {
	limit := maxDescriptors()
	if limit == 0 {
		return asked
	}
	most := max(1, limit/2/n)
	if asked == 0 {
		return most
	}
	return min(asked, most)
}

// sparing closes connections that get one of the last file descriptors: 32, or an eighth
// of those that the program may have. When processes have taken nearly all others, these
// are left to end the processes.
type sparing struct{ net.Listener }

func (l sparing) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		limit := maxDescriptors()
		if limit == 0 || descriptor(c) < limit-min(32, limit/8) {
			return c, nil
		}
		c.Close()
	}
}

// bounded is a listener with a limited number of connections at a time; further ones wait.
// Unlike those of netutil.LimitListener they can be half closed: net/http does that so
// that a refusal reaches a client that is still sending.
type bounded struct {
	net.Listener
	places chan struct{} // holds one for each connection
	closed chan struct{}
	close  func() error // once
}

func newBounded(l net.Listener, most int) *bounded {
	closed := make(chan struct{})
	return &bounded{l, make(chan struct{}, most), closed, sync.OnceValue(func() error {
		close(closed)
		return l.Close()
	})}
}

func (l *bounded) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &placed{c, sync.OnceFunc(func() { <-l.places })}, nil
}

func (l *bounded) Close() error { return l.close() }

// placed is a connection that gives back its place when it is closed.
type placed struct {
	net.Conn
	leave func() // once
}

func (c *placed) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

func (c *placed) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
