package early

import (
	"runtime"
	"syscall"
)

// The main goroutine stays on the main thread: see the package's documentation.
func init() { runtime.LockOSThread() }

// A program that was started as a guard runs nothing but this: see the package's
// documentation.
func init() {
	if args, ok := guardArguments(); ok {
		guard(args)
		syscall.Exit(0)
	}
}

// guardArguments reads the command line. Package os is not initialised yet.
func guardArguments() (args []string, ok bool) {
	fd, err := syscall.Open("/proc/self/cmdline", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, false // without /proc a guard could find nothing
	}
	defer syscall.Close(fd)
	// Room for three arguments, one of them a path.
	var buf [64 + 64 + syscall.PathMax]byte
	n, err := syscall.Read(fd, buf[:])
	if err != nil || n < len(GuardName)+1 || string(buf[:len(GuardName)+1]) != GuardName+"\x00" {
		return nil, false
	}
	start := 0
	for i, c := range buf[:n] {
		if c == 0 {
			args = append(args, string(buf[start:i]))
			start = i + 1
		}
	}
	return args, len(args) == 3
}
