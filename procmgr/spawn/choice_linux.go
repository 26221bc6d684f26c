package spawn

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/spawn/cgroup"
	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// bareDomain is the kill domain of a program that has not called Setup.
const bareDomain = KillDomainProcessGroup

// choice is the best kill domain that the machine offers, and the limits.
type choice struct {
	log      *atomic.Pointer[slog.Logger]
	forker   *forker
	adoption *adoption

	once    sync.Once       // for choose
	best    KillDomain      // what may be chosen at most
	chosen  KillDomain      // what was chosen
	cgroups *cgroup.Pool    // nil unless that is KillDomainCgroup
	limiter *cgroup.Limiter // nil without limits
	report  Report          // what was found
}

// restrict is Host.RestrictKillDomain.
func (c *choice) restrict(best KillDomain) error {
	switch best {
	case KillDomainCgroup, KillDomainDescendants, KillDomainProcessGroup:
		c.best = best
		return nil
	}
	return fmt.Errorf("there is no kill domain %q on Linux", best)
}

// domain returns the kill domain, and chooses it at the first call.
func (c *choice) domain() KillDomain {
	c.once.Do(c.choose)
	return c.chosen
}

// choose tries what the machine offers, the best first.
func (c *choice) choose() {
	c.chosen = KillDomainProcessGroup
	if c.best != "" {
		c.report.add("limited to", string(c.best), "")
	}
	if c.adoption.adopts && c.best != KillDomainProcessGroup {
		c.chosen = KillDomainDescendants
	}
	err := errors.New("not asked for")
	if c.chosen == KillDomainDescendants && c.best != KillDomainDescendants {
		c.cgroups, err = cgroup.NewPool(c.adoption.self, func(first *cgroup.Cgroup) error { return c.tryChild(first, nil) })
	}
	if err != nil {
		c.report.add("cgroup v2", "no", err.Error())
	} else {
		c.chosen = KillDomainCgroup
		c.report.add("cgroup v2", "yes", c.cgroups.Dir())
	}
	if fd, err := procfs.OpenPidfd(os.Getpid()); err != nil || c.forker.noPidfd.Load() {
		c.report.add("pidfd", "no", "a thread waits for each command")
	} else {
		unix.Close(fd)
		c.report.add("pidfd", "yes", "")
	}
	if c.best != "" && c.chosen != c.best {
		c.log.Load().Warn("the kill domain that was asked for is not available; see proctor doctor", "asked", string(c.best), "kill_domain", string(c.chosen))
	}
}

// tryChild runs a shell in a cgroup (nil is none) and a place, and checks its exit code.
// If a cgroup above was ever killed, the kernel kills what is started below; and a system
// call filter may forbid starting in a cgroup at all.
func (c *choice) tryChild(in *cgroup.Cgroup, place *cgroup.Place) error {
	const code = 7
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(null)
	attr := &syscall.ProcAttr{
		Dir: "/", Files: []uintptr{uintptr(null), uintptr(null), uintptr(null)},
		Sys: &syscall.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGKILL},
	}
	if in != nil {
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, in.FD()
	}
	started, forget, err := c.forker.forkOther(place, "/bin/sh", []string{"sh", "-c", "exit 7"}, attr)
	if err != nil {
		return fmt.Errorf("nothing starts in a cgroup: %w", err)
	}
	defer forget()
	if started.pidfd >= 0 {
		unix.Close(started.pidfd)
	}
	if exit := reap(started.pid); exit.Code != code {
		return fmt.Errorf("what starts in a cgroup ends with code %d %s: was a cgroup above it killed, or is there not enough memory?", exit.Code, exit.Signal)
	}
	return nil
}

func (c *choice) setLimits(limits Limits) error {
	if min(limits.Memory, limits.MemoryPerScope, limits.Pids, limits.PidsPerScope) < 0 {
		return errors.New("a limit is negative")
	}
	l, err := c.newLimiter(limits)
	c.limiter = l
	return err
}

func (c *choice) newLimiter(limits Limits) (*cgroup.Limiter, error) {
	c.once.Do(c.choose)
	return cgroup.NewLimiter(limits, c.adoption.self, c.cgroups.Dir(), func(place *cgroup.Place) error {
		in := c.cgroups.For(place)
		defer c.cgroups.Give(in)
		return c.tryChild(in, place)
	})
}

func (c *choice) fullReport() Report {
	c.once.Do(c.choose)
	report := Report{c.chosen, slices.Clone(c.report.Facts)}
	if c.limiter != nil {
		return report
	}
	for _, trial := range []struct {
		name   string
		limits Limits
	}{{"limits of memory", Limits{Memory: 64 << 20}}, {"limits of pids", Limits{Pids: 64}}} {
		l, err := c.newLimiter(trial.limits)
		if err != nil {
			report.add(trial.name, "no", err.Error())
			continue
		}
		l.Close()
		report.add(trial.name, "yes", "")
	}
	return report
}
