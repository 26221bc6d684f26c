package spawn

import (
	"log/slog"
	"runtime"
	"sync/atomic"
	"syscall"

	"github.com/proctor-mcp/proctor/procmgr/lockorder"
	"github.com/proctor-mcp/proctor/procmgr/spawn/cgroup"
	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// forker starts programs one at a time. It tags them: a child inherits the program's own
// soft RLIMIT_RTTIME, which is another for the moment of the fork.
type forker struct {
	log     *atomic.Pointer[slog.Logger]
	tags    bool          // children can be tagged
	own     procfs.Rlimit // the program's own, to put back after each fork
	noPidfd atomic.Bool   // the kernel refuses pidfds

	mu lockorder.Mutex[forkerPlace] // guards the program's soft RLIMIT_RTTIME: every fork holds it
}

type forkerPlace struct{}

func (forkerPlace) Place() (int, bool) { return 40, true }

// exclude calls f while nothing is forked.
func (f *forker) exclude(call func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	call()
}

// fork starts a program with a tag, in a place that the limiter gave.
func (f *forker) fork(tag procfs.Tag, place *cgroup.Place, path string, argv []string, attr *syscall.ProcAttr) (pid, pidfd int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if place != nil {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		back, err := place.Enter()
		if err != nil {
			return 0, -1, err
		}
		defer func() {
			if err := back(); err != nil {
				f.log.Load().Error("a thread of the server cannot leave the cgroup of a command", "error", err)
			}
		}()
	}
	if f.tags {
		if err := f.own.Set(tag); err == nil {
			defer f.own.Set(f.own.Tag())
		}
	}
	return forkExec(path, argv, attr, &f.noPidfd)
}

// forkExec starts a program and returns its pid and, unless the kernel refuses
// one, a pidfd. Kernels before 5.2 know of none, and a system call filter may
// refuse it; refused remembers that.
func forkExec(path string, argv []string, attr *syscall.ProcAttr, refused *atomic.Bool) (pid, pidfd int, err error) {
	pidfd = -1
	if !refused.Load() {
		attr.Sys.PidFD = &pidfd
		pid, err = syscall.ForkExec(path, argv, attr)
		if err != syscall.ENOSYS && err != syscall.EINVAL && err != syscall.EPERM {
			return pid, pidfd, err
		}
		attr.Sys.PidFD = nil
	}
	pid, without := syscall.ForkExec(path, argv, attr)
	if without == nil && err != nil {
		refused.Store(true)
	}
	return pid, -1, without
}
