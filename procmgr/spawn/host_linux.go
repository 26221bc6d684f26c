package spawn

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// Host is what the program does as a whole for the processes that it starts: it adopts
// their orphans, marks what it forks, and keeps the guard. A program has one, which
// [Setup] makes.
type Host struct {
	opts     SetupOptions
	log      atomic.Pointer[slog.Logger]
	adoption adoption
	forker   forker
	guard    guard
	spawners sync.WaitGroup // makes spare cgroups

	choice choice
}

// SetupOptions say what a program can offer.
type SetupOptions struct {
	// Guard is early.GuardName of package early, which the program must import:
	// that makes it become a guard when it is started with this as its first
	// argument, and locks its main goroutine to the main thread. Empty says that it
	// does not import it: then there is no guard, and orphans are not adopted.
	Guard string

	// OnlyCommands says that the program starts nothing but commands, and that whatever
	// descends from it is to end with it: its hard RLIMIT_LOCKS is lowered to a value
	// that names this run of it, which every process below inherits and only a
	// privileged one raises again. The guard and the next program find by it what has
	// shed every other mark.
	OnlyCommands bool

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
//   - Its soft RLIMIT_LOCKS and RLIMIT_RTTIME are others for a moment at each fork.
//   - Its hard RLIMIT_LOCKS is lowered, with OnlyCommands.
func Setup(opts SetupOptions) *Host {
	h := &Host{opts: opts}
	h.LogTo(slog.New(slog.DiscardHandler))
	h.forker.log = &h.log
	h.guard.init(&h.log, &h.forker)
	h.choice.log, h.choice.forker, h.choice.adoption = &h.log, &h.forker, &h.adoption
	closeOnExec()
	// An error leaves it as it was.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)

	self, err := procfs.Self()
	h.adoption.init(self)
	if err != nil {
		h.report("proc", "no", "it shows nothing: "+err.Error())
		return h
	}
	h.report("proc", "yes", "")
	if opts.Guard == "" {
		h.report("guard", "no", "the program has none")
	} else {
		h.report("guard", "yes", "starts with the first process")
	}
	h.setupTags()
	h.setupAdoption()
	return h
}

func (h *Host) report(name, value, detail string) { h.choice.report.add(name, value, detail) }

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

// setupTags finds out by which limits children can be tagged.
func (h *Host) setupTags() {
	f, trial := &h.forker, procfs.MakeNumber(procfs.Unlimited)
	f.self, f.others = h.adoption.self, &h.adoption.others
	h.adoption.exclusive, h.adoption.privileged = h.opts.OnlyCommands, mayRaiseLimits()
	f.locks.resource, f.rttime.resource = procfs.Locks, procfs.RTTime
	if h.opts.without["tags"] {
		h.report("tags", "no", "taken away")
		return
	}
	if h.opts.OnlyCommands {
		if err := f.locks.seal(f.self.Seal()); err != nil {
			h.report("seal", "no", procfs.Locks.String()+": "+err.Error())
		} else {
			h.adoption.sealed = true
			h.report("seal", "yes", procfs.Locks.String()+" "+strconv.FormatUint(f.self.Seal(), 10)+", which only a privileged process raises")
		}
	}
	h.tryTag(&f.locks, trial.Locks())
	h.tryTag(&f.rttime, uint64(f.self.Tag(trial)))
}

func (h *Host) tryTag(t *tagger, tag uint64) {
	if err := t.try(tag); err != nil {
		h.report("tag "+t.resource.String(), "no", err.Error())
	} else {
		h.report("tag "+t.resource.String(), "yes", "")
	}
}

// setupAdoption makes orphans come to the main thread.
func (h *Host) setupAdoption() {
	refuse := func(why string) { h.report("subreaper", "no", why) }
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
	h.report("subreaper", "yes", "")
	fd, err := unix.Open("/proc/self/task/"+strconv.Itoa(unix.Getpid())+"/children", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if h.opts.without["children"] {
		unix.Close(fd)
		err = errors.New("taken away")
	}
	if err != nil {
		h.report("children lists", "no", "all of /proc is searched instead: "+err.Error())
		return
	}
	h.adoption.lists, h.adoption.own = true, fd
	h.report("children lists", "yes", "")
}

// Run calls f in another goroutine, and returns when f has returned and the guard was
// ended. It is called on the main thread, which must fork nothing: what forks is called
// by f. Now and then it reaps what died unseen, orphans of commands that still run, and
// looks after the guard.
func (h *Host) Run(f func() int) int {
	const most = 20 // looks without a command before nobody looks
	code := make(chan int, 1)
	go func() { code <- f() }()
	ticker := time.NewTicker(guardCheck)
	defer ticker.Stop()
	for idle := 0; ; {
		select {
		case c := <-code:
			h.close()
			return c
		case <-h.adoption.reaper.wake:
			idle = 0
			ticker.Reset(guardCheck)
			h.adoption.reapDead()
		case <-ticker.C:
			h.adoption.reapDead()
			h.adoption.lookAround()
			h.guard.check()
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

// starts is called before a command is started.
func (h *Host) starts() { h.guard.ensure() }

// started is called when a command was started.
func (h *Host) started() {
	if h.opts.Guard != "" && h.adoption.self.Pid != 0 {
		h.guard.run(h.opts.Guard, h.adoption.self.String(), h.choice.cgroups.Dir())
	}
	if h.choice.cgroups.Low() {
		h.spawners.Go(h.choice.cgroups.Refill)
	}
}

// RestrictKillDomain keeps the host from choosing a better kill domain than that. It is
// called before anything is started. KillDomainJob is an error.
func (h *Host) RestrictKillDomain(best KillDomain) error { return h.choice.restrict(best) }

// KillDomain returns the kill domain. It chooses it at the first call, which takes
// some milliseconds.
func (h *Host) KillDomain() KillDomain { return h.choice.domain() }

// SetLimits bounds what commands use. It is called once, before anything is
// started. The error is [ErrMemoryLimit] or [ErrPidsLimit], and why, or of a negative
// limit. Limits of setrlimit(2) do not stand in: RLIMIT_AS counts addresses, not
// memory, and of each process by itself; RLIMIT_NPROC counts everything of the user.
func (h *Host) SetLimits(limits Limits) error { return h.choice.setLimits(limits) }

// Report returns what was found, and chooses the kill domain as [Host.KillDomain] does.
// If there are no limits, it tries whether there could be, for some milliseconds more.
// It also tells of living servers that can mark what they start no longer.
func (h *Host) Report() Report {
	report := h.choice.fullReport()
	if h.opts.Guard != "" {
		for _, pid := range disarmedServers(h.opts.Guard) {
			report.add(fmt.Sprintf("tags of server %d", pid), "no", "somebody has lowered its limits; restart it")
		}
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
		h.guard.end() // first: it carries the seal of the instance as well
		if h.adoption.self.Pid > 0 {
			// What has made itself a child of ours, or of another namespace's init.
			if proc, err := procfs.OpenProc(); err == nil {
				procfs.EndInstance(proc, h.adoption.self, "", 1, 100, pause)
				proc.Close()
			}
		}
		h.choice.limiter.Close()
		h.choice.cgroups.Close()
		h.choice.cgroups.Restore() // the guard was in there too
	}
	if h.adoption.lists {
		unix.Close(h.adoption.own)
		h.adoption.threadLists.close()
	}
}
