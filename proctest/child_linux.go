package proctest

import (
	"os"
	"runtime"
	"strconv"
	"syscall"
)

// exitThread ends the calling thread alone: in a child the main one, to which
// package early has locked the main goroutine.
func exitThread() {
	runtime.LockOSThread()
	syscall.RawSyscall(syscall.SYS_EXIT, 0, 0, 0)
}

// sameProgram reports whether pid runs the program of the caller. In a pid namespace
// a number may be another's.
func sameProgram(pid int) bool {
	own, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return false
	}
	other, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
	return err == nil && own == other
}
