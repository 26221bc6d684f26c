package transport

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
)

// Listen listens on HOST:PORT, or on unix:PATH. A socket in the file system can
// be connected to by this user alone (mode 0600), and who connects is looked at
// once more. One that a dead server left behind is replaced.
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
