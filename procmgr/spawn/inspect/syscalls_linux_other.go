//go:build linux && !amd64

package inspect

// Calls that have no number here, or go by the newer one.
const (
	sysPoll      = -2
	sysSelect    = -3
	sysEpollWait = -4
)
