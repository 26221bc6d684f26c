package spawn

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// wait reaps a child if it is dead, and returns its number; 0 and no error if it lives.
func wait(pid int) (reaped int, usage Usage, err error) {
	for {
		var status unix.WaitStatus
		var used unix.Rusage
		if reaped, err = unix.Wait4(pid, &status, unix.WNOHANG, &used); err != unix.EINTR {
			return max(reaped, 0), usageOf(&used), err
		}
	}
}

// peek returns a dead child of this thread without reaping it; 0 and no error if none is
// dead, and an error if the thread has no children.
func peek() (pid int, err error) {
	// siginfo_t: three integers, then a union that begins with the pid.
	const word = unsafe.Sizeof(uintptr(0))
	const union = (3*4 + word - 1) / word * word
	for {
		var info unix.Siginfo
		err = unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG|unix.WNOTHREAD, nil)
		if err != unix.EINTR {
			return int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), union))), err
		}
	}
}

// reaper controls when the main thread looks for orphans to reap.
type reaper struct {
	asleep atomic.Bool   // the periodic looks are suspended
	wake   chan struct{} // of one: asks for a look at once
}

// resume has the main thread look periodically again.
func (r *reaper) resume() {
	if r.asleep.Load() && r.asleep.CompareAndSwap(true, false) {
		r.now()
	}
}

// now has the main thread look at once.
func (r *reaper) now() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}
