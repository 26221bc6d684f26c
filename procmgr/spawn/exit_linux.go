package spawn

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// handle is a pidfd that the poller of Go watches. The zero handle has none.
type handle struct{ file *os.File }

func park(pidfd int) handle {
	if pidfd < 0 {
		return handle{}
	}
	_ = unix.SetNonblock(pidfd, true) // makes os.NewFile use the poller
	return handle{os.NewFile(uintptr(pidfd), "pidfd")}
}

func (h handle) close() {
	if h.file != nil {
		h.file.Close()
	}
}

// await returns true when a child has ended, and false when there is no pidfd to wait
// for or it was closed.
func (h handle) await() (ended bool) {
	if h.file == nil {
		return false
	}
	raw, err := h.file.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Read(func(fd uintptr) bool {
		ended = !stillRuns(unix.P_PIDFD, int(fd), unix.WNOHANG)
		return ended
	})
	return err == nil && ended
}

// awaitExit returns when a child has ended and is not reaped yet. It blocks a
// thread.
func awaitExit(pid int) { stillRuns(unix.P_PID, pid, 0) }

// runs reports whether a child has not ended.
func runs(pid int) bool { return stillRuns(unix.P_PID, pid, unix.WNOHANG) }

// stillRuns looks without reaping. Any error counts as an end: there is nothing
// to wait for.
func stillRuns(idType, id, flags int) bool {
	for {
		var info unix.Siginfo
		err := unix.Waitid(idType, id, &info, unix.WEXITED|unix.WNOWAIT|flags, nil)
		if err != unix.EINTR {
			return err == nil && info.Signo == 0
		}
	}
}

// isStopped reports whether a signal has stopped a child.
func isStopped(pid int) bool { return anyStopped(unix.P_PID, pid) }

// AnySuspended reports whether a signal has stopped any child of this program. If not,
// no command is suspended.
func (s *Spawner) AnySuspended() bool { return anyStopped(unix.P_ALL, 0) }

func anyStopped(idType, id int) bool {
	// WNOWAIT leaves the state to be reported again, as long as it lasts.
	var info unix.Siginfo
	err := unix.Waitid(idType, id, &info, unix.WSTOPPED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err == nil && info.Signo != 0
}

func usageOf(r *unix.Rusage) Usage {
	return Usage{
		User: time.Duration(r.Utime.Nano()), System: time.Duration(r.Stime.Nano()),
		MaxRSS: r.Maxrss << 10, // the kernel counts KiB
	}
}
