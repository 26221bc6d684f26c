package spawn

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// cpuTime is what a cgroup has counted.
type cpuTime struct{ user, system time.Duration }

// Usage returns what the command and all that it forked have used so far. An error
// means that it cannot be seen.
func (p *Process) Usage() (Usage, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return p.used, nil
	}
	return p.usageLocked()
}

// usageLocked adds up what has ended and what lives. The dead are counted by who
// reaped them, so each process is counted once.
func (p *Process) usageLocked() (Usage, error) {
	living, err := p.statsLocked()
	u := p.exitUsageLocked()
	for _, s := range living {
		const tick = time.Second / ticksPerSecond
		rss := int64(s.RSS) * int64(os.Getpagesize())
		u.add(Usage{User: time.Duration(s.User) * tick, System: time.Duration(s.System) * tick, MaxRSS: rss})
		u.RSS += rss
		u.Processes++
	}
	u.MaxRSS = max(u.MaxRSS, u.RSS)
	p.used.MaxRSS = max(p.used.MaxRSS, u.MaxRSS)
	p.exactLocked(&u)
	return u, err
}

// exitUsageLocked is what the dead have used: the command, if it was reaped, and
// the orphans that were.
func (p *Process) exitUsageLocked() Usage {
	u := p.used
	if h := p.spawner.host; h != nil {
		h.mu.Lock()
		u.add(p.domain.spent)
		h.mu.Unlock()
	}
	return u
}

// exactLocked replaces what cgroups know better: it is exact, and has also what
// nobody waited for.
func (p *Process) exactLocked(u *Usage) {
	if total, ok := p.domain.cgroup.cpu(); ok {
		p.domain.cgroup.spent = total
		u.User = max(u.User, total.user-p.domain.before.user)
		u.System = max(u.System, total.system-p.domain.before.system)
	}
	u.MaxMemory = p.domain.quota.maxMemory()
}

// finalUsageLocked is the usage of a domain of which nothing lives.
func (p *Process) finalUsageLocked() Usage {
	u := p.exitUsageLocked()
	p.exactLocked(&u)
	p.used = u
	return u
}

// statsLocked returns what lives of the domain.
func (p *Process) statsLocked() ([]procfs.Stat, error) {
	if !p.domain.group {
		return p.spawner.host.find(p, !p.reaped, false)
	}
	var list []procfs.Stat
	members, err := p.groupMembersLocked()
	for _, m := range members {
		if s, err := procfs.ReadStat(m.Pid); err == nil && inGroup(s, p.pid) {
			list = append(list, s)
		}
	}
	return list, err
}

func usageOf(r *unix.Rusage) Usage {
	return Usage{
		User: time.Duration(r.Utime.Nano()), System: time.Duration(r.Stime.Nano()),
		MaxRSS: r.Maxrss << 10, // the kernel counts KiB
	}
}
