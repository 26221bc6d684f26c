package spawn

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/spawn/cgroup"
	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// tree is what a command forked, with everything by which it is found: the process group,
// the mark of the command, and cgroups. As a kill domain it is the process group alone;
// descendants embeds it and reaches the rest.
type tree struct {
	group
	host    *Host
	scope   string
	number  procfs.Number  // its mark
	carries tags           // the tags that have it
	thread  int            // which has forked the leader
	born    uint64         // in clock ticks since boot: nothing of it is older
	cgroup  *cgroup.Cgroup // nil: none of its own
	place   *cgroup.Place  // nil: not limited

	condemned atomic.Bool // it was killed
}

// correct takes over the figures of cgroups: they are exact, and include processes that
// nobody has waited for.
func (t *tree) correct(u *Usage) {
	if used, ok := t.cgroup.CPU(); ok {
		u.User = max(u.User, used.User)
		u.System = max(u.System, used.System)
	}
	u.MaxMemory = t.place.MaxMemory()
}

func (t *tree) limitsReached() []Limit { return t.place.Reached() }

// identity distinguishes processes, also those that had the same number one after the
// other.
type identity struct {
	pid   int
	start uint64
}

func identify(s living) identity { return identity{s.Pid, s.Start} }

// ticksPerSecond is USER_HZ, on every architecture that Go knows.
const ticksPerSecond = 100

// bootTicks is the present time in clock ticks since boot, as in proc_pid_stat(5), less
// one tick so that what starts now is not older.
func bootTicks() uint64 {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now)
	return uint64(max(0, now.Nano()/(1e9/ticksPerSecond)-1))
}
