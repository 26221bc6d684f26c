package spawn

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

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
	start sync.Once
	owner sync.WaitGroup // of the goroutine

	mu       sync.Mutex // guards the fields below
	pipe     int        // the writing end; 0 before the start
	released bool
	ended    chan struct{} // closed when released
}

// released is what lets a guard go. Package early has it once more: whoever
// imports that becomes a guard.
const released = 'q'

// startGuard has a guard run.
func (h *Host) startGuard() {
	if h.opts.Guard == "" || h.self.Pid == 0 {
		return
	}
	h.guard.start.Do(func() {
		h.guard.ended = make(chan struct{})
		h.guard.owner.Go(h.keepGuard)
	})
}

// keepGuard starts guards until one is released.
func (h *Host) keepGuard() {
	const shortest, longest = 10 * time.Millisecond, 10 * time.Second
	g := &h.guard
	for pause := shortest; ; pause = min(2*pause, longest) {
		begin := time.Now()
		handle, err := h.forkGuard()
		if err == nil {
			err = handle.await()
		}
		select {
		case <-g.ended:
			return
		default:
		}
		h.log.Load().Warn("the guard has ended; starting another", "error", err)
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
	if !awaitPidfd(c.pidfd) {
		awaitExit(c.pid)
	}
	exit := reap(c.pid)
	if exit.Signal != "" {
		return errors.New("ended by " + exit.Signal)
	}
	return nil
}

// forkGuard starts this program once more, with nothing but the reading end of a
// pipe that ends with us.
func (h *Host) forkGuard() (child, error) {
	g := &h.guard
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
	ended := g.released
	g.mu.Unlock()
	if ended {
		return child{}, errors.New("released")
	}
	cgroups := ""
	if h.cgroups != nil {
		cgroups = h.cgroups.dir
	}
	pid, pidfd, err := h.fork(procfs.Untagged, nil, "/proc/self/exe", []string{h.opts.Guard, h.self.String(), cgroups}, &syscall.ProcAttr{
		Dir: "/", Env: []string{}, Files: []uintptr{uintptr(fds[0])},
		Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return child{}, &os.PathError{Op: "exec", Path: "/proc/self/exe", Err: err}
	}
	return child{pid, park(pidfd)}, nil
}

// close ends what the host has started for itself. Unless everything has ended
// the guard is left at its work.
func (h *Host) close() {
	h.endUnknown()
	h.mu.Lock()
	left := len(h.processes)
	h.mu.Unlock()
	if left == 0 {
		if h.self.Pid > 0 {
			// What has made itself a child of ours, or of another namespace's init.
			procfs.EndInstance(h.self, "", 1, 100, pause)
		}
		h.limiter.close()
		h.cgroups.close()
	}
	g := &h.guard
	g.mu.Lock()
	g.released = true
	if g.ended != nil {
		close(g.ended)
	}
	if g.pipe > 0 {
		if left == 0 {
			_, _ = unix.Write(g.pipe, []byte{released})
		}
		unix.Close(g.pipe)
	}
	g.mu.Unlock()
	if left == 0 {
		g.owner.Wait()
		h.cgroups.restore() // the guard was in there too
	}
	if h.lists {
		unix.Close(h.own)
	}
}

// endUnknown kills the orphans that belong to no process.
func (h *Host) endUnknown() {
	for begin := time.Now(); h.reapOrphans() && time.Since(begin) < time.Second; pause() {
		h.mu.Lock()
		end := func(pid int) {
			if s, alive, _ := procfs.Living(pid); alive {
				h.log.Load().Warn("ending an orphan that belongs to no process", "pid", pid, "command", s.Command)
				_ = unix.Kill(pid, unix.SIGKILL) // nobody but us reaps it
			}
		}
		if h.lists {
			_ = procfs.ReadChildren(h.own, end)
		} else {
			_ = procfs.Pids(func(pid int) {
				if s, err := procfs.ReadStat(pid); err == nil && s.Ppid == h.self.Pid && procfs.BelongsTo(pid, h.self) {
					end(pid)
				}
			})
		}
		h.mu.Unlock()
	}
}

// pause is between two looks at what was killed.
func pause() { time.Sleep(5 * time.Millisecond) }
