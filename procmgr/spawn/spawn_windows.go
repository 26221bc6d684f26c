package spawn

import (
	"context"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Process is a started command. Windows has no process group that a signal
// reaches: Kill ends the command alone and Terminate is not supported.
type Process struct {
	cmd     *exec.Cmd
	output  *os.File
	settled chan struct{}

	mu   sync.Mutex // guards gone
	gone bool       // the command has exited
}

// Start runs cmd. See the other systems for its promises.
func (s *Spawner) Start(cmd Command, events Events) (*Process, error) {
	output, outputEnd, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer outputEnd.Close()
	c := exec.Command(cmd.Argv[0], cmd.Argv[1:]...)
	c.Dir, c.Env, c.Stdout, c.Stderr = cmd.Dir, cmd.Env, outputEnd, outputEnd
	c.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
	p := &Process{cmd: c, output: output, settled: make(chan struct{})}
	var input interface {
		Write([]byte) (int, error)
		Close() error
	}
	if cmd.Stdin != nil {
		if input, err = c.StdinPipe(); err != nil {
			output.Close()
			return nil, err
		}
	}
	if err := c.Start(); err != nil {
		output.Close()
		return nil, err
	}
	if input != nil {
		s.wg.Go(func() {
			input.Write(cmd.Stdin)
			input.Close()
		})
	}
	s.wg.Go(func() { s.read(p, events) })
	s.wg.Go(func() { p.follow(events) })
	return p, nil
}

func (s *Spawner) read(p *Process, events Events) {
	defer close(p.settled)
	defer events.OutputClosed()
	defer p.output.Close()
	buffer := s.buffers.Get().(*[readBytes]byte)
	defer s.buffers.Put(buffer)
	for {
		n, err := p.output.Read(buffer[:])
		if n > 0 {
			events.Output(buffer[:n])
		}
		if err != nil {
			return
		}
	}
}

func (p *Process) follow(events Events) {
	state, err := p.cmd.Process.Wait()
	exit := Exit{At: time.Now(), Code: -1, Lost: err != nil}
	if err == nil {
		exit.Code, exit.User, exit.System = state.ExitCode(), state.UserTime(), state.SystemTime()
	}
	drained := time.NewTimer(DrainTime)
	defer drained.Stop()
	select {
	case <-p.settled:
	case <-drained.C:
	}
	p.mu.Lock()
	p.gone = true
	p.mu.Unlock()
	events.Exited(exit)
}

// Pid is the system's number of the command.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Suspended is always false: Windows has no such state.
func (p *Process) Suspended() bool { return false }

// Signal ends the command. It is the only place that does.
func (p *Process) Signal(sig Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return ErrGone
	}
	if sig != Kill {
		return ErrUnsupported
	}
	return p.cmd.Process.Kill()
}

// Ended says that the command has exited.
func (p *Process) Ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gone
}

// Members returns nothing: what a command forked is not known here.
func (p *Process) Members() ([]Member, error) { return nil, nil }

// AwaitGone returns at once: see Members.
func (p *Process) AwaitGone(context.Context) error { return nil }

// Release closes our end of the pipe.
func (p *Process) Release() { p.output.Close() }
