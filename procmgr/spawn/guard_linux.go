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
	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// guard keeps another process that ends everything should this one be killed. It
// starts with the first command, and again should it die. It needs no list: the
// instance's tag, marker and cgroups lead it to everything.
//
// Should guard and program be killed in one instant, the kernel ends the leaders
// (PR_SET_PDEATHSIG), and the next program sweeps what is left. PDEATHSIG means
// the end of the thread that forked; threads of a Go program end only when a
// goroutine ends that has locked one, so none here does.
type guard struct {
	log    *atomic.Pointer[slog.Logger]
	forker *forker

	start sync.Once
	argv  []string       // of the process
	owner sync.WaitGroup // of the goroutine

	mu       lockorder.Mutex[guardPlace] // guards the fields below
	pipe     int                         // the writing end; 0 before the start
	released bool
	ended    chan struct{} // closed when released
}

type guardPlace struct{}

func (guardPlace) Place() (int, bool) { return 150, false }

// run has the guard run: early.GuardName, for an instance with a directory of cgroups.
func (g *guard) run(name, instance, cgroups string) {
	g.start.Do(func() {
		g.argv, g.ended = []string{name, instance, cgroups}, make(chan struct{})
		g.owner.Go(g.keep)
	})
}

// keep starts guards until one is released.
func (g *guard) keep() {
	const shortest, longest = 10 * time.Millisecond, 10 * time.Second
	for pause := shortest; ; pause = min(2*pause, longest) {
		begin := time.Now()
		process, err := g.fork()
		if err == nil {
			err = process.await()
		}
		select {
		case <-g.ended:
			return
		default:
		}
		g.log.Load().Warn("the guard has ended; starting another", "error", err)
		if time.Since(begin) > longest {
			pause = shortest
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-g.ended:
			timer.Stop()
			return
		}
	}
}

// child is a process of ours that is no command.
type child struct {
	pid   int
	pidfd handle
}

// await waits for its end and reaps it.
func (c child) await() error {
	defer c.pidfd.close()
	if !c.pidfd.await() {
		awaitExit(c.pid)
	}
	exit := reap(c.pid)
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
	released := g.released
	g.mu.Unlock()
	if released {
		return child{}, errors.New("released")
	}
	pid, pidfd, err := g.forker.fork(procfs.Untagged, nil, "/proc/self/exe", g.argv, &syscall.ProcAttr{
		Dir: "/", Env: []string{}, Files: []uintptr{uintptr(fds[0])},
		Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return child{}, &os.PathError{Op: "exec", Path: "/proc/self/exe", Err: err}
	}
	return child{pid, park(pidfd)}, nil
}

// release has no more guards started. Unless everything has ended the one that runs is
// left at its work; else it is let go, and awaited.
func (g *guard) release(allEnded bool) {
	g.mu.Lock()
	g.released = true
	if g.ended != nil {
		close(g.ended)
	}
	if g.pipe > 0 {
		if allEnded {
			_, _ = unix.Write(g.pipe, []byte{procfs.GuardReleased})
		}
		unix.Close(g.pipe)
	}
	g.mu.Unlock()
	if allEnded {
		g.owner.Wait()
	}
}
