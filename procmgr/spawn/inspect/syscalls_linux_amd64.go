package inspect

import "golang.org/x/sys/unix"

// Calls that newer architectures have no number for.
const (
	sysPoll      = unix.SYS_POLL
	sysSelect    = unix.SYS_SELECT
	sysEpollWait = unix.SYS_EPOLL_WAIT
)
