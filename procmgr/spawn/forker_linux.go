package spawn

import (
	"log/slog"
	"runtime"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/lockorder"
	"github.com/proctor-mcp/proctor/procmgr/spawn/cgroup"
	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// forker starts programs one at a time, and tags them.
type forker struct {
	log     *atomic.Pointer[slog.Logger]
	self    procfs.Instance
	locks   tagger // by the number of a command
	rttime  tagger // by the instance and a part of the number
	others  *others
	noPidfd atomic.Bool // the kernel refuses pidfds

	mu lockorder.Mutex[forkerPlace] // guards the program's soft limits: every fork holds it
}

type forkerPlace struct{}

func (forkerPlace) Place() (int, bool) { return 40, true }

// tags are those that a command carries.
type tags struct{ locks, rttime bool }

// any reports whether there is one.
func (t tags) any() bool { return t.locks || t.rttime }

// can returns the tags that the machine allows.
func (f *forker) can() tags { return tags{f.locks.usable, f.rttime.usable} }

// disarmed reports whether the machine allows tags, and none could be set at the last fork.
func (f *forker) disarmed() bool {
	return f.can().any() && (!f.locks.usable || f.locks.lost.Load()) && (!f.rttime.usable || f.rttime.lost.Load())
}

// forked is a program that was started.
type forked struct {
	pid, pidfd int // pidfd is -1 where there is none
	thread     int // the one that has forked it
	carries    tags
}

// exclude calls f while nothing is forked.
func (f *forker) exclude(call func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	call()
}

// fork starts a program that carries the tags of a number, none if that is 0, in a place
// that the limiter gave.
func (f *forker) fork(n procfs.Number, place *cgroup.Place, path string, argv []string, attr *syscall.ProcAttr) (started forked, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	started.thread = unix.Gettid()
	if place != nil {
		back, err := place.Enter()
		if err != nil {
			return started, err
		}
		defer func() {
			if err := back(); err != nil {
				f.log.Load().Error("a thread of the server cannot leave the cgroup of a command", "error", err)
			}
		}()
	}
	if n == 0 {
		started.pid, started.pidfd, err = forkExec(path, argv, attr, &f.noPidfd)
		return started, err
	}
	before := tags{f.locks.lost.Load(), f.rttime.lost.Load()}
	locks, rttime := n.Locks(), uint64(f.self.Tag(n))
	f.locks.set(locks)
	f.rttime.set(rttime)
	started.pid, started.pidfd, err = forkExec(path, argv, attr, &f.noPidfd)
	started.carries = tags{f.locks.unset(locks), f.rttime.unset(rttime)}
	f.tell(&f.locks, before.locks)
	f.tell(&f.rttime, before.rttime)
	return started, err
}

// forkOther starts a program that is no command. forget is to be called when it was
// reaped.
func (f *forker) forkOther(place *cgroup.Place, path string, argv []string, attr *syscall.ProcAttr) (started forked, forget func(), err error) {
	f.others.starting.Add(1)
	defer f.others.starting.Add(-1)
	if started, err = f.fork(0, place, path, argv, attr); err == nil {
		f.others.pids.Store(started.pid, nil)
	}
	return started, func() { f.others.pids.Delete(started.pid) }, err
}

// tell logs that tags of one kind were lost, or are there again.
func (f *forker) tell(t *tagger, wasLost bool) {
	switch lost := t.lost.Load(); {
	case lost == wasLost:
	case lost:
		f.log.Load().Error("somebody has lowered a hard limit of the server, by which descendants of commands are found; restart the server", "limit", t.resource.String(), "none_left", f.disarmed())
	default:
		f.log.Load().Info("a hard limit of the server is as it was", "limit", t.resource.String())
	}
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
