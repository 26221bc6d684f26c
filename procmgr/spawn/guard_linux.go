package spawn

import (
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/lockorder"
)

// guard keeps another process that ends everything should this one be killed. It
// starts with the first command. It needs no list: the marks of the instance and its
// cgroups lead it to everything.
//
// A guard that has ended or is stopped is replaced: within [guardCheck] while commands
// live, and before another command starts.
//
// Should guard and program be killed in one instant, the kernel ends the leaders
// (PR_SET_PDEATHSIG), and the next program sweeps what is left. PDEATHSIG means
// the end of the thread that forked; threads of a Go program end only when a
// goroutine ends that has locked one, so none here does.
type guard struct {
	log    *atomic.Pointer[slog.Logger]
	forker *forker

	owner  sync.WaitGroup // of the goroutine that keeps it
	needed chan struct{}  // of one: a command is about to start, and no guard lives
	ended  chan struct{}  // closed when no guard is needed any more

	mu      lockorder.Mutex[guardPlace] // guards the fields below, and keeps the process from being reaped
	argv    []string                    // of the process, nil before the first command
	pid     int                         // of the living guard, 0 if there is none
	pipe    int                         // writing end of the pipe that ends with us, 0 before the first guard
	attempt chan struct{}               // closed when the next attempt to start one is over
}

type guardPlace struct{}

func (guardPlace) Place() (int, bool) { return 50, true }

const (
	// guardCheck is how often the guard is looked after while commands live.
	guardCheck = 500 * time.Millisecond
	// guardPause is the longest pause before a guard that ends again and again is
	// replaced. A command that starts does not wait for it.
	guardPause = 500 * time.Millisecond
)

func (g *guard) init(log *atomic.Pointer[slog.Logger], f *forker) {
	g.log, g.forker = log, f
	g.needed, g.ended, g.attempt = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
}

// run has a guard start, beside the first command: early.GuardName, for an instance
// with a directory of cgroups.
func (g *guard) run(name, instance, cgroups string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.argv == nil {
		g.argv = []string{name, instance, cgroups}
		g.owner.Go(g.keep)
	}
}

// ensure returns once a guard lives, or could not be started. Before the first command
// there is none to wait for.
func (g *guard) ensure() {
	const most = 3 // attempts: the guard of one that was under way may have ended already
	for range most {
		g.mu.Lock()
		g.checkLocked()
		attempt, lacks := g.attempt, g.argv != nil && g.pid == 0
		g.mu.Unlock()
		if !lacks {
			return
		}
		select {
		case g.needed <- struct{}{}:
		default:
		}
		select {
		case <-attempt:
		case <-g.ended:
			return
		}
	}
}

// check has a guard replaced that is stopped.
func (g *guard) check() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.checkLocked()
}

// checkLocked finds out whether the guard has ended, and kills it if a signal has
// stopped it.
func (g *guard) checkLocked() {
	if g.pid > 0 && (!runs(g.pid) || isStopped(g.pid)) {
		g.killLocked()
	}
}

// killLocked kills the guard, which then counts as gone. SIGKILL ends a stopped one too.
func (g *guard) killLocked() {
	if g.pid > 0 {
		_ = unix.Kill(g.pid, unix.SIGKILL)
		g.pid = 0
	}
}

// keep starts guards, one after the other, until none is needed.
func (g *guard) keep() {
	const shortest = 10 * time.Millisecond
	for pause := shortest; ; pause = min(2*pause, guardPause) {
		begin := time.Now()
		process, err := g.fork()
		g.mu.Lock()
		g.pid = process.pid
		close(g.attempt)
		g.attempt = make(chan struct{})
		if g.isEnded() {
			g.killLocked()
		}
		g.mu.Unlock()
		if err == nil {
			process.awaitEnd()
			g.mu.Lock()
			g.pid = 0
			err = process.reap()
			g.mu.Unlock()
		}
		if g.isEnded() {
			return
		}
		g.log.Load().Warn("the guard has ended; starting another", "error", err)
		if time.Since(begin) > guardPause {
			pause = shortest
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-g.needed:
			timer.Stop()
		case <-g.ended:
			timer.Stop()
			return
		}
	}
}

// isEnded reports whether no guard is needed any more.
func (g *guard) isEnded() bool {
	select {
	case <-g.ended:
		return true
	default:
		return false
	}
}

// child is a process of ours that is no command.
type child struct {
	pid    int
	pidfd  handle
	forget func()
}

// awaitEnd waits for its end.
func (c child) awaitEnd() {
	if !c.pidfd.await() {
		awaitExit(c.pid)
	}
	c.pidfd.close()
}

// reap reaps it once it has ended. The error says how it ended.
func (c child) reap() error {
	exit := reap(c.pid)
	c.forget()
	if exit.Signal != "" {
		return errors.New("ended by " + exit.Signal)
	}
	return nil
}

// fork starts this program once more, with nothing but the reading end of a pipe that
// ends with us.
func (g *guard) fork() (child, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return child{}, err
	}
	defer unix.Close(fds[0])
	g.mu.Lock()
	if g.pipe > 0 {
		unix.Close(g.pipe)
	}
	g.pipe = fds[1]
	g.mu.Unlock()
	started, forget, err := g.forker.forkOther(nil, "/proc/self/exe", g.argv, &syscall.ProcAttr{
		Dir: "/", Env: []string{}, Files: []uintptr{uintptr(fds[0])},
		Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return child{}, &os.PathError{Op: "exec", Path: "/proc/self/exe", Err: err}
	}
	return child{started.pid, park(started.pidfd), forget}, nil
}

// end ends the guard, which has nothing left to do.
func (g *guard) end() {
	g.mu.Lock()
	close(g.ended)
	g.killLocked()
	g.mu.Unlock()
	g.owner.Wait()
	if g.pipe > 0 {
		unix.Close(g.pipe)
	}
}
