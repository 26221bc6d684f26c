package transport

import (
	"net"

	"golang.org/x/sys/unix"
)

// peerUID returns the user at the other end (LOCAL_PEERCRED).
func peerUID(c *net.UnixConn) (uid int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	var cred *unix.Xucred
	controlErr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	})
	if controlErr != nil {
		return -1, controlErr
	}
	if err != nil {
		return -1, err
	}
	return int(cred.Uid), nil
}
