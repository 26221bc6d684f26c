//go:build unix

package spawn

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/spawn/loop"
)

// Process is a started command and what it forked.
type Process struct {
	spawner *Spawner
	loop    *loop.Loop
	events  Events
	input   input
	group   *group // of the command; a part of its domain
	domain  domain

	// Of the loop's goroutine alone, once it is followed.
	stdout      loop.Pipe
	stderr      *loop.Pipe  // nil if it is the same
	terminalEnd int         // the command's end of its terminal, -1 if there is none
	endedAt     time.Time   // when the exit was seen, zero before
	drain       *time.Timer // calls drainElapsed; nil unless the output is awaited
	drained     bool        // everything written before the exit was delivered
}

// Pid is the kernel's number of the command. It may be used again once the
// exit was announced.
func (p *Process) Pid() int { return p.group.pid }

// Usage returns what the command and all that it forked have used so far. An error
// means that it cannot be seen: [errors.ErrUnsupported] on macOS as long as something
// lives.
func (p *Process) Usage() (Usage, error) {
	p.group.pin.RLock()
	defer p.group.pin.RUnlock()
	if p.group.stage() == stageClosed {
		return p.group.dead.sum(), nil
	}
	return usage(p.domain, &p.group.dead)
}

// Write gives text to a command with an input that is kept, and then, if end is set,
// the end of it: a pipe is closed; in a terminal the end-of-file character is typed,
// twice if a line was begun (termios(3), VEOF). Calls take turns. It returns how much
// of text the pipe or the terminal has taken, and ErrNoInput, ErrInputClosed,
// ErrInputLine, or ErrInputFull if ctx has ended before it has taken all.
func (p *Process) Write(ctx context.Context, text []byte, end bool) (n int, err error) {
	return p.input.give(ctx, text, end)
}

// Resize changes the size of a terminal; its programs get SIGWINCH. The error is
// ErrNoTerminal where there is none.
func (p *Process) Resize(size Size) error { return p.input.resize(size) }

// openOutputs makes the pipes of a command, and returns its ends of them.
func (p *Process) openOutputs(split bool) (stdout, stderr int, err error) {
	ours, stdout, err := pipe()
	if err != nil {
		return -1, -1, err
	}
	p.stdout = p.loop.NewPipe(ours, (*outputs)(p), p.events.Stdout)
	if !split {
		return stdout, stdout, nil
	}
	if ours, stderr, err = pipe(); err != nil {
		p.dropOutputs()
		unix.Close(stdout)
		return -1, -1, err
	}
	second := p.loop.NewPipe(ours, (*outputs)(p), p.events.Stderr)
	p.stderr = &second
	return stdout, stderr, nil
}

// pipes calls f for each pipe that there is.
func (p *Process) pipes(f func(*loop.Pipe) bool) {
	if f(&p.stdout) && p.stderr != nil {
		f(p.stderr)
	}
}

func (p *Process) watchOutputs() error {
	for pipe := range p.pipes {
		if err := pipe.Watch(); err != nil {
			return err
		}
	}
	return nil
}

// dropOutputs is called when the command was not started.
func (p *Process) dropOutputs() {
	for pipe := range p.pipes {
		pipe.Drop()
	}
}

// closeTerminalEnd closes the command's end of its terminal, which was held open.
func (p *Process) closeTerminalEnd() {
	if p.terminalEnd >= 0 {
		unix.Close(p.terminalEnd)
		p.terminalEnd = -1
	}
}

// outputs is a process as its pipes call it, in the loop.
type outputs Process

// Draining reports whether the command has ended and its pipes are not read to the end.
func (o *outputs) Draining() bool { return !o.endedAt.IsZero() && !o.drained }

// PipeClosed announces the end of the output, before the exit can be announced.
func (o *outputs) PipeClosed() {
	p := (*Process)(o)
	if p.outputOpen() {
		return
	}
	p.events.OutputClosed()
	if o.Draining() {
		p.endDrain()
	}
	p.spawner.wg.Done()
}

// outputOpen reports whether somebody may still write.
func (p *Process) outputOpen() bool {
	return p.stdout.IsOpen() || p.stderr != nil && p.stderr.IsOpen()
}

// leader is a process as its pidfd calls it, in the loop.
type leader Process

// Ready is the event that the command has ended, or may have.
func (l *leader) Ready() {
	p := (*Process)(l)
	if !p.endedAt.IsZero() || runs(p.group.pid) {
		return
	}
	p.endedAt = p.spawner.clock.Now()
	p.group.advance(stageEnded)
	p.closeTerminalEnd()
	for pipe := range p.pipes {
		pipe.Ready()
	}
	if p.drained {
		return
	}
	if !p.outputOpen() {
		p.endDrain()
		return
	}
	p.spawner.wg.Go(p.domain.leaderEnded) // a kill does not wait for whoever holds the output
	p.drain = time.AfterFunc(DrainTime, func() { p.loop.Post(p.drainElapsed) })
}

// drainElapsed is the event that a descendant has held a pipe of an ended command for
// [DrainTime]. All that the command wrote is in the pipe now, so what is written from now
// on is not waited for.
func (p *Process) drainElapsed() {
	if p.drained {
		return
	}
	for pipe := range p.pipes {
		pipe.ReadPresent()
	}
	if !p.drained {
		p.endDrain()
	}
}

// endDrain is called once, when everything written before the exit was delivered. The
// rest has a goroutine of its own: it may take longer than other commands can wait.
func (p *Process) endDrain() {
	p.drained = true
	if p.drain != nil {
		p.drain.Stop()
	}
	go p.conclude(p.endedAt)
}

// conclude reaps a command, announces its exit, and waits until its kill domain is
// gone.
func (p *Process) conclude(endedAt time.Time) {
	defer p.spawner.wg.Done()
	p.domain.leaderEnded()
	exit := p.reap()
	exit.At = endedAt
	p.input.close()
	if exit.Gone = p.goneSoon(); exit.Gone {
		exit.Usage = p.settle()
	} else {
		exit.Usage, _ = usage(p.domain, &p.group.dead) // what cannot be seen is left out
	}
	exit.Limits = p.domain.limitsReached()
	p.events.Exited(exit)
	runtime.Gosched() // whoever waits for the exit runs first: nobody waits for the rest
	if exit.Gone || !p.domain.awaitGone() {
		p.close()
		return
	}
	used := p.settle()
	p.close()
	p.events.Gone(used)
}

// reap takes the status of the leader.
func (p *Process) reap() Exit {
	p.group.pin.Lock()
	defer p.group.pin.Unlock()
	exit := reap(p.group.pid)
	p.group.advance(stageReaped)
	p.domain.reaped(exit)
	return exit
}

// goneSoon reports whether nothing is left. It waits a moment for the processes of a
// launcher, such as process 1 of a pid namespace, which end after the command.
func (p *Process) goneSoon() bool {
	const most, pause = 50 * time.Millisecond, time.Millisecond
	for begin := time.Now(); ; time.Sleep(pause) {
		gone := p.domain.gone()
		if gone || p.group.launcher == "" || time.Since(begin) > most {
			return gone
		}
	}
}

// settle returns what was used in all, once nothing lives any more.
func (p *Process) settle() Usage {
	used := p.group.dead.sum()
	p.domain.correct(&used)
	p.group.dead.settle(used)
	return used
}

// close ends all use of the kill domain.
func (p *Process) close() {
	p.group.pin.Lock()
	p.group.advance(stageClosed)
	p.group.pin.Unlock()
	if p.group.pidfd >= 0 {
		p.loop.Unwatch(p.group.pidfd)
		unix.Close(p.group.pidfd)
	}
	p.domain.release()
}

// Release gives the process up. It closes our ends of the pipes, so that whoever holds
// the other ends gets SIGPIPE at the next write. What lives on once the command has ended
// is no longer waited for.
func (p *Process) Release() {
	p.loop.Post(func() {
		p.closeTerminalEnd()
		for pipe := range p.pipes {
			pipe.Close()
		}
	})
	p.input.close()
	p.domain.abandon()
}

// reap takes the status of a child that has ended, and does not block.
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

func signalName(sig unix.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return sig.String()
}
