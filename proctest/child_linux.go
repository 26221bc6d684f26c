package proctest

import (
	"runtime"
	"syscall"
)

// exitThread ends the calling thread alone: in a child the main one, to which
// package early has locked the main goroutine.
func exitThread() {
	runtime.LockOSThread()
	syscall.RawSyscall(syscall.SYS_EXIT, 0, 0, 0)
}
