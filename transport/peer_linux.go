package transport

import "golang.org/x/sys/unix"

// credUID asks for the peer's credentials (unix(7), SO_PEERCRED).
func credUID(fd int) (int, error) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return -1, err
	}
	return int(cred.Uid), nil
}
