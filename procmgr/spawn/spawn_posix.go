//go:build linux || darwin

package spawn

import (
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a started command and what it forked.
type Process struct {
	spawner *Spawner
	loop    *loop
	events  Events
	pid     int
	pidfd   int    // the kernel's handle of the leader, -1 where there is none
	domain  domain // how what left the group is found
	// launcher is the name that the launcher's own processes have, "" if there is
	// no launcher or its name tells nothing.
	launcher string
	input    input

	// Of the loop's goroutine alone, once it is followed.
	stdout  outlet
	stderr  *outlet     // nil if it is the same
	held    int         // the command's end of its terminal, -1 is none
	endedAt time.Time   // zero before the exit was seen
	drain   *time.Timer // the end of the wait for output, nil unless it is awaited
	settled bool        // everything written before the exit was delivered

	mu     sync.Mutex // guards the fields below, and excludes signalling from reaping
	ended  bool       // the exit was seen
	reaped bool       // the leader's number may belong to another process
	gone   bool       // nothing is left, or it was given up
	used   Usage      // by the command, once it was reaped, and all when it is gone
}

// Start runs cmd and returns once its program runs. The error says why it does
// not, and nothing is left behind then. [Process.Follow] must be called next:
// only output is delivered before.
func (s *Spawner) Start(cmd Command, events Events) (*Process, error) {
	search := cmd.Search
	if search == nil {
		search = cmd.Env
	}
	argv := slices.Concat(cmd.Launcher, cmd.Argv)
	path, err := s.lookPath(argv[0], search)
	if err != nil {
		return nil, err
	}
	l, err := s.startLoop()
	if err != nil {
		return nil, err
	}
	p := &Process{spawner: s, loop: l, events: events, pidfd: -1, held: -1, launcher: launcherName(cmd)}
	files, closeFiles, err := p.openFiles(&cmd)
	if err != nil {
		return nil, err
	}
	defer closeFiles()
	attr := &syscall.ProcAttr{
		Dir: cmd.Dir, Env: cmd.Env, Files: files,
		Sys: &syscall.SysProcAttr{Setsid: true, Setctty: p.input.tty}, // Ctty is stdin
	}
	if err = p.watchOutlets(); err == nil {
		err = p.fork(path, argv, cmd.Scope, attr)
	}
	if err != nil {
		p.dropOutlets()
		p.closeInput()
		p.letGoOfTerminal()
		return nil, err
	}
	s.wg.Add(2) // until its output is closed, and until it is empty
	p.give(cmd.Stdin)
	return p, nil
}

// openFiles opens what a command reads and writes. It returns its ends, stdin,
// stdout and stderr, and what closes them here.
func (p *Process) openFiles(cmd *Command) (files []uintptr, closeFiles func(), err error) {
	if cmd.TTY != (Size{}) {
		tty, err := p.openTerminal(cmd.TTY)
		if err != nil {
			return nil, nil, err
		}
		fd := tty.Fd()
		return []uintptr{fd, fd, fd}, func() { tty.Close() }, nil
	}
	stdout, stderr, err := p.openOutlets(cmd.Split)
	if err != nil {
		return nil, nil, err
	}
	var stdin int
	if p.input, stdin, err = openInput(cmd); err != nil {
		closeEnds(stdout, stderr)
		p.dropOutlets()
		return nil, nil, err
	}
	return []uintptr{uintptr(stdin), uintptr(stdout), uintptr(stderr)}, func() {
		unix.Close(stdin)
		closeEnds(stdout, stderr)
	}, nil
}

// Follow has the exit seen and announced. It is called once.
func (p *Process) Follow() {
	if p.pidfd >= 0 && p.loop.watch(p.pidfd, watched{process: p}) == nil {
		return
	}
	p.spawner.wg.Go(func() { // no pidfd: a thread waits
		awaitExit(p.pid)
		p.loop.post(p.exitSeen)
	})
}

// startLoop returns the loop, which runs until Wait.
func (s *Spawner) startLoop() (*loop, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loop == nil {
		l, err := newLoop()
		if err != nil {
			return nil, err
		}
		s.loop = l
	}
	return s.loop, nil
}

// Wait returns when every goroutine has ended: all commands have ended, what
// they forked is dead and their pipes are closed, or they were released.
func (s *Spawner) Wait() {
	s.wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loop != nil {
		s.loop.stop()
		s.loop = nil
	}
}

// Pid is the kernel's number of the command. It may be used again once the
// exit was announced.
func (p *Process) Pid() int { return p.pid }

// exitSeen is the event that the command has ended, or may have.
func (p *Process) exitSeen() {
	if !p.endedAt.IsZero() || runs(p.pid) {
		return
	}
	p.endedAt = p.spawner.clock.Now()
	p.mu.Lock()
	p.ended = true
	p.leaderEndedLocked()
	p.mu.Unlock()
	p.letGoOfTerminal()
	for o := range p.outlets {
		o.readSome()
	}
	if p.outputOpen() {
		p.drain = time.AfterFunc(DrainTime, func() { p.loop.post(p.drainElapsed) })
		return
	}
	p.settle()
}

// settle reaps and announces the exit, once, when all that was written before it
// was delivered.
func (p *Process) settle() {
	if p.endedAt.IsZero() || p.settled {
		return
	}
	p.settled = true
	if p.drain != nil {
		p.drain.Stop()
	}
	p.mu.Lock()
	exit := reap(p.pid)
	exit.At = p.endedAt
	p.reaped = true
	p.used.add(exit.Usage)
	p.distrustLocked(exit)
	p.mu.Unlock()
	p.closeInput()
	if exit.Empty = p.surelyEmpty(); exit.Empty {
		p.announceExit(exit)
		return
	}
	// To look closer takes longer than others can wait.
	p.spawner.wg.Go(func() {
		exit.Empty = p.emptySoon()
		p.announceExit(exit)
	})
}

// emptySoon says that nothing is left. What a launcher has made around the command,
// such as process 1 of a pid namespace, is gone a moment after it: that is awaited.
func (p *Process) emptySoon() bool {
	const most, pause = 50 * time.Millisecond, time.Millisecond
	for begin := time.Now(); ; time.Sleep(pause) {
		p.mu.Lock()
		empty := p.emptyLocked()
		p.mu.Unlock()
		if empty || p.launcher == "" || time.Since(begin) > most {
			return empty
		}
	}
}

func (p *Process) announceExit(exit Exit) {
	exit.Limits = p.limitsReached()
	p.mu.Lock()
	if exit.Empty {
		exit.Usage = p.finalUsageLocked()
	} else {
		exit.Usage, _ = p.usageLocked() // what cannot be seen is left out
	}
	p.mu.Unlock()
	p.events.Exited(exit)
	runtime.Gosched() // who waits for the exit goes first: the rest is nobody's answer
	if exit.Empty {
		p.giveUp(nil)
	} else {
		p.linger()
	}
}

// giveUp lets go of the domain, which is never signalled again, and calls tell, if
// there is one, unless that was done before.
func (p *Process) giveUp(tell func(Usage)) {
	p.mu.Lock()
	first := !p.gone
	p.gone = true
	if first && tell != nil {
		p.finalUsageLocked()
	}
	used := p.used
	p.mu.Unlock()
	if !first {
		return
	}
	p.closeHandle()
	p.leave()
	if tell != nil {
		tell(used)
	}
	p.spawner.wg.Done()
}

// closeHandle is called when nothing uses the handle any more.
func (p *Process) closeHandle() {
	if p.pidfd >= 0 {
		p.loop.unwatch(p.pidfd)
		unix.Close(p.pidfd)
	}
}

// reap takes the leader's status. It does not block: the exit was seen.
func reap(pid int) Exit {
	var status unix.WaitStatus
	var usage unix.Rusage
	for {
		got, err := unix.Wait4(pid, &status, 0, &usage)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil || got != pid:
			return Exit{Code: -1, Lost: true}
		}
		exit := Exit{Code: -1, Usage: usageOf(&usage)}
		if status.Signaled() {
			exit.Signal = signalName(status.Signal())
		} else {
			exit.Code = status.ExitStatus()
		}
		return exit
	}
}

func signalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return sig.String()
}
