package spawn

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/windows"
)

// systemDomain is what a kill reaches on Windows.
const systemDomain = KillDomainJob

const bareDomain = systemDomain

// Process is a started command and the job object that holds what it starts. A
// job is ended with this program, whatever ends that. Windows has no signals: Kill
// ends the job and every other is not supported.
type Process struct {
	spawner *Spawner
	events  Events
	cmd     *exec.Cmd
	job     windows.Handle
	outputs []*os.File     // of stdout, and of stderr if that is another
	input   io.WriteCloser // nil is none that is kept
	turn    chan struct{}  // has room for one: the call that writes
	settled chan struct{}

	mu     sync.Mutex // guards the fields below
	ended  bool       // the command has exited
	closed bool       // nothing is left, or it was given up, and so is job
	used   Usage      // by the command, once it has exited
}

// Start runs cmd. See the other systems for its promises.
func (s *Spawner) Start(cmd Command, events Events) (*Process, error) {
	if cmd.TTY != (Size{}) {
		return nil, ErrNoTerminal
	}
	stdout, stdoutEnd, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer stdoutEnd.Close()
	outputs, stderrEnd := []*os.File{stdout}, stdoutEnd
	if cmd.Split {
		var stderr *os.File
		if stderr, stderrEnd, err = os.Pipe(); err != nil {
			stdout.Close()
			return nil, err
		}
		defer stderrEnd.Close()
		outputs = append(outputs, stderr)
	}
	argv := slices.Concat(cmd.Launcher, cmd.Argv)
	c := exec.Command(argv[0], argv[1:]...)
	c.Dir, c.Env, c.Stdout, c.Stderr = cmd.Dir, cmd.Env, stdoutEnd, stderrEnd
	// Suspended until it is in its job, so that nothing it starts can be outside.
	c.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP | windows.CREATE_SUSPENDED}
	p := &Process{spawner: s, events: events, cmd: c, outputs: outputs, settled: make(chan struct{})}
	var input io.WriteCloser
	if cmd.Stdin != nil || cmd.KeepStdin {
		if input, err = c.StdinPipe(); err != nil {
			p.closeOutputs()
			return nil, err
		}
	}
	if p.job, err = newJob(); err != nil {
		p.closeOutputs()
		return nil, err
	}
	if err = c.Start(); err == nil {
		if err = enter(p.job, c.Process.Pid); err != nil {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	}
	if err != nil {
		_ = windows.CloseHandle(p.job)
		p.closeOutputs()
		return nil, err
	}
	p.turn = make(chan struct{}, 1)
	if cmd.KeepStdin {
		p.input = input
	}
	if input != nil {
		p.turn <- struct{}{}
		s.wg.Go(func() {
			_, _ = input.Write(cmd.Stdin)
			if !cmd.KeepStdin {
				input.Close()
			}
			<-p.turn
		})
	}
	s.wg.Add(1) // until it is gone
	s.wg.Go(p.read)
	return p, nil
}

// Follow has the exit seen and announced. It is called once.
func (p *Process) Follow() { p.spawner.wg.Go(p.follow) }

// Wait returns when every goroutine has ended. See the other systems.
func (s *Spawner) Wait() { s.wg.Wait() }

// Write gives text and the end of it to a command whose input is kept. See the other
// systems; here a pipe that is full is waited for.
func (p *Process) Write(ctx context.Context, text []byte, end bool) (n int, err error) {
	if p.input == nil {
		return 0, ErrNoInput
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return 0, ErrInputFull
	}
	n, err = p.input.Write(text)
	if err == nil && end {
		err = p.input.Close()
	}
	if err != nil {
		err = ErrInputClosed
	}
	return n, err
}

// Resize has no terminal to change.
func (p *Process) Resize(Size) error { return ErrNoTerminal }

// system is empty: package os/exec looks programs up, and there is a goroutine for each
// pipe.
type system struct{}

func (p *Process) closeOutputs() {
	for _, pipe := range p.outputs {
		pipe.Close()
	}
}

// read delivers the outputs, one call at a time.
func (p *Process) read() {
	defer close(p.settled)
	defer p.events.OutputClosed()
	var one sync.Mutex // held to deliver
	var all sync.WaitGroup
	for i, pipe := range p.outputs {
		deliver := []func(p []byte){p.events.Stdout, p.events.Stderr}[i]
		all.Go(func() {
			defer pipe.Close()
			buffer := make([]byte, 64<<10)
			for {
				n, err := pipe.Read(buffer)
				if n > 0 {
					one.Lock()
					deliver(buffer[:n])
					one.Unlock()
				}
				if err != nil {
					return
				}
			}
		})
	}
	all.Wait()
}

func (p *Process) follow() {
	state, err := p.cmd.Process.Wait()
	exit := Exit{At: p.spawner.clock.Now(), Code: -1, Lost: err != nil}
	if err == nil {
		exit.Code, exit.Usage.User, exit.Usage.System = state.ExitCode(), state.UserTime(), state.SystemTime()
	}
	p.mu.Lock()
	p.ended = true
	p.used = exit.Usage
	p.mu.Unlock()
	drained := time.NewTimer(DrainTime)
	defer drained.Stop()
	select {
	case <-p.settled:
	case <-drained.C:
	}
	members, err := p.Members()
	exit.Gone = err == nil && len(members) == 0
	p.events.Exited(exit)
	if exit.Gone {
		p.giveUp(nil)
		return
	}
	for pause := time.Millisecond; ; pause = min(2*pause, time.Second) {
		members, err := p.Members()
		if err == nil && len(members) == 0 {
			p.giveUp(p.events.Gone)
			return
		}
		time.Sleep(pause)
	}
}

// giveUp closes the job, which ends what is in it, and calls tell if that was not
// done before.
func (p *Process) giveUp(tell func(Usage)) {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	p.mu.Unlock()
	if first {
		_ = windows.CloseHandle(p.job)
		if tell != nil {
			tell(p.used)
		}
		p.spawner.wg.Done()
	}
}

// Usage is only known once the command has exited.
func (p *Process) Usage() (Usage, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return p.used, nil
	}
	return Usage{}, errors.ErrUnsupported
}

// Pid is the system's number of the command.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// AnySuspended is always false: Windows has no such state.
func (s *Spawner) AnySuspended() bool { return false }

// Suspended is always false: Windows has no such state.
func (p *Process) Suspended() bool { return false }

// Signal ends the job. It is the only place that does.
func (p *Process) Signal(sig Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrNotRunning
	}
	if sig != SignalKill {
		return ErrUnsupportedSignal
	}
	return windows.TerminateJobObject(p.job, 1)
}

// Ended reports whether the command has exited.
func (p *Process) Ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

// Members returns the processes of the job, by number alone.
func (p *Process) Members() ([]Member, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil
	}
	return jobMembers(p.job)
}

// Release closes our end of the pipe and, of an ended command, the job.
func (p *Process) Release() {
	p.closeOutputs()
	if p.Ended() {
		p.giveUp(nil)
	}
}
