//go:build linux || darwin

package spawn

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a started command and what it forked.
type Process struct {
	spawner *Spawner
	events  Events
	pid     int
	handle  handle   // the kernel's handle of the leader, where there is one
	output  *os.File // our end of the pipe
	domain  domain   // how what left the group is found

	settled chan struct{} // closed when everything written before the exit was delivered

	mu     sync.Mutex // guards the fields below, and excludes signalling from reaping
	ended  bool       // the exit was seen
	reaped bool       // the leader's number may belong to another process
	gone   bool       // nothing is left, or it was given up
	input  *os.File   // what is left of stdin, until written or ended
}

// Start runs cmd and returns once its program runs. The error says why it does
// not, and nothing is left behind then.
func (s *Spawner) Start(cmd Command, events Events) (*Process, error) {
	search := cmd.Search
	if search == nil {
		search = cmd.Env
	}
	path, err := s.lookPath(cmd.Argv[0], search)
	if err != nil {
		return nil, err
	}
	output, outputEnd, err := pipe()
	if err != nil {
		return nil, err
	}
	defer unix.Close(outputEnd)
	input, inputEnd, err := openInput(cmd.Stdin)
	if err != nil {
		output.Close()
		return nil, err
	}
	defer unix.Close(inputEnd)

	p := &Process{spawner: s, events: events, output: output, input: input, settled: make(chan struct{})}
	attr := &syscall.ProcAttr{
		Dir:   cmd.Dir,
		Env:   cmd.Env,
		Files: []uintptr{uintptr(inputEnd), uintptr(outputEnd), uintptr(outputEnd)},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	}
	if err := p.fork(path, cmd.Argv, attr); err != nil {
		output.Close()
		p.closeInput()
		return nil, err
	}
	s.wg.Add(1) // until it is empty
	s.wg.Go(p.read)
	s.wg.Go(p.follow)
	if input != nil {
		s.wg.Go(func() {
			input.Write(cmd.Stdin) // a reader that went away is no concern of ours
			p.closeInput()
		})
	}
	return p, nil
}

// Pid is the kernel's number of the command. It may be used again once the
// exit was announced.
func (p *Process) Pid() int { return p.pid }

// follow sees the exit, lets the output settle, reaps and announces.
func (p *Process) follow() {
	p.prepare()
	awaitExit(p.pid, p.handle)
	at := time.Now()
	p.mu.Lock()
	p.ended = true
	p.output.SetReadDeadline(at.Add(DrainTime))
	p.leaderEndedLocked()
	p.mu.Unlock()
	<-p.settled

	p.mu.Lock()
	exit := reap(p.pid)
	p.reaped = true
	p.distrustLocked(exit)
	exit.Empty = p.emptyLocked()
	p.mu.Unlock()
	p.closeInput()
	exit.At = at
	p.events.Exited(exit)
	if exit.Empty {
		p.giveUp(func() {})
	} else {
		p.linger()
	}
}

// giveUp lets go of the domain, which is never signalled again, and calls tell if
// that was not done before.
func (p *Process) giveUp(tell func()) {
	p.mu.Lock()
	first := !p.gone
	p.gone = true
	p.mu.Unlock()
	if first {
		p.handle.close()
		p.leave()
		tell()
		p.spawner.wg.Done()
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
		exit := Exit{
			Code:   -1,
			User:   time.Duration(usage.Utime.Nano()),
			System: time.Duration(usage.Stime.Nano()),
			MaxRSS: maxRSS(&usage),
		}
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

// read delivers the output until the last holder of the pipe closes it. That it
// is closed is told before the exit can be.
func (p *Process) read() {
	settle := sync.OnceFunc(func() { close(p.settled) })
	defer settle()
	defer p.events.OutputClosed()
	defer p.output.Close()
	raw, err := p.output.SyscallConn()
	if err != nil {
		return
	}
	size := pipeSize{p: p, raw: raw}
	defer size.shrink()
	for {
		size.prepare()
		more, err := p.readSome(raw, readBytes)
		size.add(more)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && !p.Ended():
			size.shrink()
		case errors.Is(err, os.ErrDeadlineExceeded):
			// The command has ended and someone else holds the pipe. What is in
			// it now holds all that the command wrote; nobody else reads it, so
			// it is there until taken.
			p.output.SetReadDeadline(time.Time{})
			for left := unread(raw); left > 0; {
				n, err := p.readSome(raw, left)
				if n == 0 || err != nil {
					return
				}
				left -= n
			}
			settle()
		case err != nil || more == 0:
			return
		}
	}
}

// readSome waits until there is output and delivers at most limit bytes of it.
// It returns 0 at the end. While it waits it holds no buffer.
func (p *Process) readSome(raw syscall.RawConn, limit int) (n int, err error) {
	waitErr := raw.Read(func(fd uintptr) bool {
		buffer := p.spawner.buffers.Get().(*[readBytes]byte)
		defer p.spawner.buffers.Put(buffer)
		for {
			n, err = unix.Read(int(fd), buffer[:min(limit, readBytes)])
			if err != unix.EINTR {
				break
			}
		}
		if err == unix.EAGAIN {
			return false
		}
		if n > 0 {
			p.events.Output(buffer[:n])
		}
		return true
	})
	if waitErr != nil {
		return 0, waitErr
	}
	return max(n, 0), err
}

// unread returns how many bytes wait in the pipe.
func unread(raw syscall.RawConn) (n int) {
	raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), ioctlUnread) })
	return n
}

func (p *Process) closeInput() {
	p.mu.Lock()
	input := p.input
	p.input = nil
	p.mu.Unlock()
	if input != nil {
		input.Close()
	}
}
