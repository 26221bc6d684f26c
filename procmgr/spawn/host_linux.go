package spawn

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/spawn/cgroup"
	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// Host is what the whole program does for the processes that it starts: it
// adopts their orphans, marks what it forks, keeps the guard. There is one in a
// program; [Setup] makes it.
type Host struct {
	opts     SetupOptions
	log      atomic.Pointer[slog.Logger]
	adoption adoption
	forker   forker
	guard    guard
	spawners sync.WaitGroup // makes spare cgroups

	choose  func()          // chooses the kill domain, once
	best    KillDomain      // what may be chosen at most
	chosen  KillDomain      // what was chosen
	cgroups *cgroup.Pool    // nil unless that is KillDomainCgroup
	limiter *cgroup.Limiter // nil without SetLimits
	report  Report
}

// SetupOptions say what a program can offer.
type SetupOptions struct {
	// Guard is early.GuardName of package early, which the program must import:
	// that makes it become a guard when it is started with this as its first
	// argument, and locks its main goroutine to the main thread. Empty says that it
	// does not import it: then there is no guard, and orphans are not adopted.
	Guard string

	without map[string]bool // what a test takes away
}

// Setup prepares the program for starting processes. What it does concerns the
// whole program, so it is called once, from the main function, on the main
// thread, before anything is started; [Host.Run] must follow. It never fails: what
// the machine does not offer is done without, and [Host.Report] says so.
//
//   - The program is not dumpable: its children cannot read its memory or
//     descriptors (PR_SET_DUMPABLE; root's can).
//   - Descriptors that it inherited do not reach its children.
//   - It adopts the orphans among its descendants (PR_SET_CHILD_SUBREAPER).
//   - Its soft RLIMIT_RTTIME is another for a moment at each fork.
func Setup(opts SetupOptions) *Host {
	h := &Host{opts: opts}
	h.choose = sync.OnceFunc(h.chooseDomain)
	h.LogTo(slog.New(slog.DiscardHandler))
	h.forker.log, h.guard.log, h.guard.forker = &h.log, &h.log, &h.forker
	h.adoption.own = -1
	h.adoption.owners, h.adoption.reaper.wake = map[int]*tree{}, make(chan struct{}, 1)
	closeOnExec()
	// An error leaves it as it was.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)

	self, err := procfs.Self()
	if err != nil {
		h.report.add("proc", "no", "it shows nothing: "+err.Error())
		return h
	}
	h.adoption.self = self
	h.report.add("proc", "yes", "")
	if opts.Guard == "" {
		h.report.add("guard", "no", "the program has none")
	} else {
		h.report.add("guard", "yes", "starts with the first process")
	}
	h.setupTags()
	h.setupAdoption()
	return h
}

// LogTo sets where what an operator should know is logged: a guard that died,
// what was swept. It is discarded before.
func (h *Host) LogTo(log *slog.Logger) { h.log.Store(log) }

// closeOnExec marks the descriptors that the program was given.
func closeOnExec() {
	if unix.CloseRange(3, 1<<32-1, unix.CLOSE_RANGE_CLOEXEC) == nil { // Linux 5.11
		return
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
}

// setupTags finds out whether children can be tagged: a container may have set a
// lower hard limit.
func (h *Host) setupTags() {
	trial := h.adoption.self.Tag(0)
	err := errors.New("taken away")
	if !h.opts.without["tags"] {
		h.forker.own, err = procfs.OwnRlimit()
	}
	if err == nil {
		err = h.forker.own.Try(trial)
	}
	if err != nil {
		h.report.add("tag", "no", "the environment marker alone: "+err.Error())
		return
	}
	h.forker.tags, h.adoption.tags = true, true
	h.report.add("tag", "yes", "RLIMIT_RTTIME "+strconv.FormatUint(uint64(trial), 10)+" and up")
}

// setupAdoption makes orphans come to the main thread.
func (h *Host) setupAdoption() {
	refuse := func(why string) { h.report.add("subreaper", "no", why) }
	switch {
	case h.opts.Guard == "":
		refuse("the program does not import package early")
		return
	case unix.Gettid() != unix.Getpid():
		refuse("Setup was not called from the main goroutine")
		return
	case h.opts.without["subreaper"]:
		refuse("taken away")
		return
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		refuse(err.Error())
		return
	}
	h.adoption.adopts = true
	h.report.add("subreaper", "yes", "")
	fd, err := unix.Open("/proc/self/task/"+strconv.Itoa(unix.Getpid())+"/children", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if h.opts.without["children"] {
		unix.Close(fd)
		err = errors.New("taken away")
	}
	if err != nil {
		h.report.add("children lists", "no", "all of /proc is searched instead: "+err.Error())
		return
	}
	h.adoption.lists, h.adoption.own = true, fd
	h.report.add("children lists", "yes", "")
}

// Run calls f in another goroutine, and lets the guard go and returns when f has
// returned. It is called on the main thread, which must fork nothing: what forks
// is called by f. Now and then it reaps what died unseen, orphans of commands that
// still run.
func (h *Host) Run(f func() int) int {
	const (
		pause = time.Second
		most  = 10 // looks without a command before nobody looks
	)
	code := make(chan int, 1)
	go func() { code <- f() }()
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for idle := 0; ; {
		select {
		case c := <-code:
			h.close()
			return c
		case <-h.adoption.reaper.wake:
			idle = 0
			ticker.Reset(pause)
			h.adoption.reapDead()
		case <-ticker.C:
			h.adoption.reapDead()
			if idle++; h.adoption.registry.count() > 0 {
				idle = 0
			}
			if idle == most {
				ticker.Stop()
				h.adoption.reaper.asleep.Store(true)
			}
		}
	}
}

// Exclude calls f while no command is forked. A program that starts processes by
// other means does so in f: they would else inherit, now and then, the mark of a
// command that is forked at the same moment, and should the program be killed,
// the guard would take them for what that command has left behind.
func (h *Host) Exclude(f func()) { h.forker.exclude(f) }

// started is called when a command was started.
func (h *Host) started() {
	h.guard.run()
	if h.cgroups.Low() {
		h.spawners.Go(h.cgroups.Refill)
	}
}

// RestrictKillDomain keeps the host from choosing a better kill domain than that. It is
// called before anything is started. KillDomainJob is an error.
func (h *Host) RestrictKillDomain(best KillDomain) error {
	switch best {
	case KillDomainCgroup, KillDomainDescendants, KillDomainProcessGroup:
		h.best = best
		return nil
	}
	return fmt.Errorf("there is no kill domain %q on Linux", best)
}

// KillDomain returns the kill domain. It chooses it at the first call, which takes
// some milliseconds.
func (h *Host) KillDomain() KillDomain {
	h.choose()
	return h.chosen
}

// chooseDomain tries what the machine offers, the best first.
func (h *Host) chooseDomain() {
	h.chosen = KillDomainProcessGroup
	if h.best != "" {
		h.report.add("limited to", string(h.best), "")
	}
	if h.adoption.adopts && h.best != KillDomainProcessGroup {
		h.chosen = KillDomainDescendants
	}
	err := errors.New("not asked for")
	if h.chosen == KillDomainDescendants && h.best != KillDomainDescendants {
		h.cgroups, err = cgroup.NewPool(h.adoption.self, func(c *cgroup.Cgroup) error { return h.tryChild(c, nil) })
	}
	if err != nil {
		h.report.add("cgroup v2", "no", err.Error())
	} else {
		h.chosen = KillDomainCgroup
		h.report.add("cgroup v2", "yes", h.cgroups.Dir())
	}
	if fd, err := procfs.OpenPidfd(os.Getpid()); err != nil || h.forker.noPidfd.Load() {
		h.report.add("pidfd", "no", "a thread waits for each command")
	} else {
		unix.Close(fd)
		h.report.add("pidfd", "yes", "")
	}
	if h.best != "" && h.chosen != h.best {
		h.log.Load().Warn("the kill domain that was asked for is not to be had; see proctor doctor", "asked", string(h.best), "kill_domain", string(h.chosen))
	}
	if h.opts.Guard != "" && h.adoption.self.Pid != 0 {
		h.guard.argv = []string{h.opts.Guard, h.adoption.self.String(), h.cgroups.Dir()}
	}
}

// tryChild runs a shell in a cgroup, if there is one, and a place and looks how it
// ends: where a cgroup above was ever killed the kernel kills what is started below, and
// a system call filter may forbid starting in a cgroup at all.
func (h *Host) tryChild(c *cgroup.Cgroup, place *cgroup.Place) error {
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
	if c != nil {
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, c.FD()
	}
	pid, pidfd, err := h.forker.fork(h.forker.own.Tag(), place, "/bin/sh", []string{"sh", "-c", "exit 7"}, attr)
	if err != nil {
		return fmt.Errorf("nothing starts in a cgroup: %w", err)
	}
	if pidfd >= 0 {
		unix.Close(pidfd)
	}
	if exit := reap(pid); exit.Code != code {
		return fmt.Errorf("what starts in a cgroup ends with code %d %s: was a cgroup above it killed, or is there not enough memory?", exit.Code, exit.Signal)
	}
	return nil
}

// SetLimits bounds what commands use. It is called once, before anything is
// started. The error is [ErrMemoryLimit] or [ErrPidsLimit], and why, or of a negative
// limit. Limits of setrlimit(2) do not stand in: RLIMIT_AS counts addresses, not
// memory, and of each process by itself; RLIMIT_NPROC counts everything of the user.
func (h *Host) SetLimits(limits Limits) error {
	if min(limits.Memory, limits.MemoryPerScope, limits.Pids, limits.PidsPerScope) < 0 {
		return errors.New("a limit is negative")
	}
	l, err := h.newLimiter(limits)
	h.limiter = l
	return err
}

func (h *Host) newLimiter(limits Limits) (*cgroup.Limiter, error) {
	h.choose()
	return cgroup.NewLimiter(limits, h.adoption.self, h.cgroups, h.tryChild)
}

// Report returns what was found, and chooses the kill domain as [Host.KillDomain] does.
// If there are no limits, it tries whether there could be, for some milliseconds more.
func (h *Host) Report() Report {
	h.choose()
	report := Report{h.chosen, slices.Clone(h.report.Facts)}
	if h.limiter != nil {
		return report
	}
	for _, trial := range []struct {
		name   string
		limits Limits
	}{{"limits of memory", Limits{Memory: 64 << 20}}, {"limits of pids", Limits{Pids: 64}}} {
		l, err := h.newLimiter(trial.limits)
		if err != nil {
			report.add(trial.name, "no", err.Error())
			continue
		}
		l.Close()
		report.add(trial.name, "yes", "")
	}
	return report
}

// close ends what the host has started for itself. Unless everything has ended
// the guard is left at its work.
func (h *Host) close() {
	h.spawners.Wait()
	h.adoption.endUnknown(h.log.Load())
	allEnded := h.adoption.registry.count() == 0
	if allEnded {
		if h.adoption.self.Pid > 0 {
			// What has made itself a child of ours, or of another namespace's init.
			procfs.EndInstance(h.adoption.self, "", 1, 100, pause)
		}
		h.limiter.Close()
		h.cgroups.Close()
	}
	h.guard.release(allEnded)
	if allEnded {
		h.cgroups.Restore() // the guard was in there too
	}
	if h.adoption.lists {
		unix.Close(h.adoption.own)
	}
}

// pause is between two looks at what was killed.
func pause() { time.Sleep(5 * time.Millisecond) }
