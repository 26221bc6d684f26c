//go:build unix

package transport

import (
	"net"

	"golang.org/x/sys/unix"
)

// listenUnix makes a socket that only this user can connect to. The mask is the
// process's own for a moment; nothing else makes files that early.
func listenUnix(path string) (net.Listener, error) {
	old := unix.Umask(0o177)
	defer unix.Umask(old)
	return net.Listen("unix", path)
}

// peerUID returns the user at the other end of a connection.
func peerUID(c *net.UnixConn) (uid int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	if controlErr := raw.Control(func(fd uintptr) { uid, err = credUID(int(fd)) }); controlErr != nil {
		return -1, controlErr
	}
	return uid, err
}
