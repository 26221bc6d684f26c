package spawn

import (
	"errors"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// Host is what the whole program does for the processes that it starts: it
// adopts their orphans, marks what it forks, keeps the guard. There is one in a
// program; [Setup] makes it.
type Host struct {
	opts   SetupOptions
	log    atomic.Pointer[slog.Logger]
	self   procfs.Instance
	tags   bool         // children can be tagged
	limit  procfs.Limit // the program's own, to put back after each fork
	lists  bool         // the kernel lists children
	adopts bool         // orphans come to the main thread
	own    int          // the main thread's list of children, kept open; -1 without lists

	prepare func()     // chooses the domain, once
	best    KillDomain // what may be chosen at most
	domain  KillDomain // what was chosen
	cgroups *cgroups   // nil unless that is KillDomainCgroup
	limiter *limiter   // nil without SetLimits
	report  Report

	numbers atomic.Uint64
	guard   guard
	noPidfd atomic.Bool // the kernel refuses pidfds

	forking sync.Mutex // guards the program's soft RLIMIT_RTTIME: every fork holds it

	asleep atomic.Bool   // the main thread does not look for orphans to reap
	wake   chan struct{} // of one: has it look again

	mu        sync.Mutex          // guards the maps, and keeps orphans from being reaped
	processes map[uint64]*Process // by number, until nothing of them is left
	adopted   map[int]*Process    // whose an orphan is, nil if nobody knows

	testHookLook func() // called in the middle of find
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
	h := &Host{
		opts: opts, own: -1,
		wake: make(chan struct{}, 1), processes: map[uint64]*Process{}, adopted: map[int]*Process{},
	}
	h.LogTo(slog.New(slog.DiscardHandler))
	h.prepare = sync.OnceFunc(h.chooseDomain)
	closeOnExec()
	// An error leaves it as it was.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)

	var err error
	if h.self, err = procfs.Self(); err != nil {
		h.report.add("proc", "no", "it shows nothing: "+err.Error())
		return h
	}
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

// LogTo says where what an operator should know is logged: a guard that died,
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
	var err error
	if h.opts.without["tags"] {
		err = errors.New("taken away")
	} else if h.limit, err = procfs.ReadLimit(); err == nil {
		trial := h.self.Tag(0)
		if err = h.limit.Set(trial); err == nil {
			got, readErr := procfs.ReadLimit()
			err = errors.Join(readErr, h.limit.Set(h.limit.Tag()))
			if err == nil && got.Tag() != trial {
				err = errors.New("RLIMIT_RTTIME does not hold 64 bits")
			}
		}
	}
	if h.tags = err == nil; h.tags {
		h.report.add("tag", "yes", "RLIMIT_RTTIME "+strconv.FormatUint(uint64(h.self.Tag(0)), 10)+" and up")
	} else {
		h.report.add("tag", "no", "the environment marker alone: "+err.Error())
	}
}

// setupAdoption makes orphans come to the main thread.
func (h *Host) setupAdoption() {
	if h.opts.Guard == "" {
		h.report.add("subreaper", "no", "the program does not import package early")
		return
	}
	if unix.Gettid() != unix.Getpid() {
		h.report.add("subreaper", "no", "Setup was not called from the main goroutine")
		return
	}
	if h.opts.without["subreaper"] {
		h.report.add("subreaper", "no", "taken away")
		return
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		h.report.add("subreaper", "no", err.Error())
		return
	}
	h.adopts = true
	h.report.add("subreaper", "yes", "")
	list := "/proc/self/task/" + strconv.Itoa(unix.Getpid()) + "/children"
	fd, err := unix.Open(list, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if h.opts.without["children"] {
		unix.Close(fd)
		err = errors.New("taken away")
	}
	if err != nil {
		h.report.add("children lists", "no", "all of /proc is searched instead: "+err.Error())
		return
	}
	h.lists, h.own = true, fd
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
		case <-h.wake:
			idle = 0
			ticker.Reset(pause)
			h.reapOrphans()
		case <-ticker.C:
			h.reapOrphans()
			if idle++; h.runs() {
				idle = 0
			}
			if idle == most {
				ticker.Stop()
				h.asleep.Store(true)
			}
		}
	}
}

// awake has the main thread look for orphans again, now and then.
func (h *Host) awake() {
	if h.asleep.Load() && h.asleep.CompareAndSwap(true, false) {
		h.nudge()
	}
}

// nudge has the main thread look for orphans now.
func (h *Host) nudge() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// reapOrphans reaps what the main thread has adopted, and says whether something
// of it is left. __WNOTHREAD keeps it from stealing the status of a child that
// another thread has forked (wait4(2)).
func (h *Host) reapOrphans() (left bool) {
	if !h.adopts {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		pid, err := peek()
		if pid == 0 {
			return err == nil
		}
		if h.adopted[pid] == nil {
			h.adopted[pid] = h.ownerLocked(pid) // what it has used is its owner's
		}
		h.reapLocked(pid)
	}
}

// runs says that there is a command of which something lives.
func (h *Host) runs() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.processes) > 0
}

// Exclude calls f while no command is forked. A program that starts processes by
// other means does so in f: they would else inherit, now and then, the mark of a
// command that is forked at the same moment, and should the program be killed,
// the guard would take them for what that command has left behind.
func (h *Host) Exclude(f func()) {
	h.forking.Lock()
	defer h.forking.Unlock()
	f()
}

// fork starts a program with the tag, in the quota.
func (h *Host) fork(tag procfs.Tag, q *quota, path string, argv []string, attr *syscall.ProcAttr) (pid, pidfd int, err error) {
	h.forking.Lock()
	defer h.forking.Unlock()
	if q != nil {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		back, err := q.enter()
		if err != nil {
			return 0, -1, err
		}
		defer func() {
			if err := back(); err != nil {
				h.log.Load().Error("a thread of the server cannot leave the cgroup of a command", "error", err)
			}
		}()
	}
	if h.tags {
		if err := h.limit.Set(tag); err == nil {
			defer h.limit.Set(h.limit.Tag())
		}
	}
	return forkExec(path, argv, attr, &h.noPidfd)
}
