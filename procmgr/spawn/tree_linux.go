package spawn

import (
	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/spawn/cgroup"
	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// tree is what a command forked, with all by which it is found: the process group, the
// mark of the command, and cgroups. As a domain it is the process group: descendants
// goes further.
type tree struct {
	group
	host    *Host
	number  procfs.Number  // its mark
	carries tags           // the tags that have it
	born    uint64         // in clock ticks since boot: nothing of it is older
	cgroup  *cgroup.Cgroup // nil: none of its own
	place   *cgroup.Place  // nil: not limited
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

// identity tells processes apart, also those that have a number one after the other.
type identity struct {
	pid   int
	start uint64
}

func identify(s living) identity { return identity{s.Pid, s.Start} }

// ticksPerSecond is USER_HZ, on every architecture that Go knows.
const ticksPerSecond = 100

// bootTicks is now, as proc_pid_stat(5) counts it, a tick early.
func bootTicks() uint64 {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now)
	return uint64(max(0, now.Nano()/(1e9/ticksPerSecond)-1))
}
