package transport

import "golang.org/x/sys/unix"

// credUID asks for the peer's credentials (LOCAL_PEERCRED).
func credUID(fd int) (int, error) {
	cred, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return -1, err
	}
	return int(cred.Uid), nil
}
