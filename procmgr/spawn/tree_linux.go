package spawn

import (
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/spawn/cgroup"
	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// tree is what a command forked, with all by which it is found: the process group, the
// mark of the command, and cgroups. As a domain it is the process group: descendants
// goes further.
type tree struct {
	group
	host   *Host
	number uint64         // its mark
	born   uint64         // in clock ticks since boot: nothing of it is older
	cgroup *cgroup.Cgroup // nil: none of its own
	place  *cgroup.Place  // nil: not limited
}

// fork starts the program of the command. After an error nothing is left behind.
func (t *tree) fork(path string, argv []string, scope string, attr *syscall.ProcAttr) error {
	if err := t.prepare(scope, attr); err != nil {
		return err
	}
	pid, pidfd, err := t.host.forker.fork(t.host.adoption.tag(t), t.place, path, argv, attr)
	if t.cgroup.Unusable(err) { // the command shall run
		t.host.cgroups.Drop(t.cgroup)
		t.cgroup, attr.Sys.UseCgroupFD = nil, false
		pid, pidfd, err = t.host.forker.fork(t.host.adoption.tag(t), t.place, path, argv, attr)
	}
	if err != nil {
		err = t.place.Refused(err)
		t.release()
		return err
	}
	t.host.adoption.registry.started(t, pid, pidfd)
	t.host.started()
	return nil
}

// prepare gives the command its mark and its cgroups.
func (t *tree) prepare(scope string, attr *syscall.ProcAttr) (err error) {
	h := t.host
	if t.place, err = h.limiter.Admit(scope); err != nil {
		return err
	}
	attr.Sys.Pdeathsig = unix.SIGKILL // the second net: see guard_linux.go
	t.born = bootTicks()
	h.adoption.registry.add(t)
	h.adoption.reaper.resume()
	attr.Env = append(slices.DeleteFunc(slices.Clone(attr.Env), procfs.IsMarker), h.adoption.marker(t))
	if t.cgroup = h.cgroups.For(t.place); t.cgroup != nil {
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, t.cgroup.FD()
	}
	return nil
}

// release gives back what the tree has of the host.
func (t *tree) release() {
	t.host.adoption.registry.remove(t)
	t.host.adoption.forget(t)
	t.host.cgroups.Give(t.cgroup)
	t.place.Release()
}

// correct takes over what cgroups know: it is exact, and has also what nobody waited
// for.
func (t *tree) correct(u *Usage) {
	if used, ok := t.cgroup.CPU(); ok {
		u.User = max(u.User, used.User)
		u.System = max(u.System, used.System)
	}
	u.MaxMemory = t.place.MaxMemory()
}

func (t *tree) limitsReached() []Limit { return t.place.Reached() }

// ticksPerSecond is USER_HZ, on every architecture that Go knows.
const ticksPerSecond = 100

// bootTicks is now, as proc_pid_stat(5) counts it, a tick early.
func bootTicks() uint64 {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now)
	return uint64(max(0, now.Nano()/(1e9/ticksPerSecond)-1))
}
