//go:build unix

package transport

import (
	"math"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// listenUnix makes a socket that only this user can connect to. It changes the umask of
// the whole program for a moment, when nothing else makes files yet.
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

// maxDescriptors returns how many file descriptors the program may have, or 0 if that is
// not known.
func maxDescriptors() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int(min(limit.Cur, math.MaxInt32))
}

// descriptor returns the number of a connection's file descriptor. The kernel hands out
// the lowest free number, so it shows how many are in use.
func descriptor(c net.Conn) (n int) {
	if raw, err := c.(syscall.Conn).SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { n = int(fd) }) // a closed one has none
	}
	return n
}
