//go:build linux || darwin

package spawn

import "golang.org/x/sys/unix"

// outlet is our end of a pipe that a command writes to. Once the command is
// followed it belongs to the loop.
type outlet struct {
	process *Process
	deliver func(p []byte)
	fd      int // -1 when it is closed
	pipe    pipeSize
	share   share
}

// openOutlets makes the pipes of a command, and returns its ends of them.
func (p *Process) openOutlets(split bool) (stdout, stderr int, err error) {
	ours, stdout, err := pipe()
	if err != nil {
		return -1, -1, err
	}
	p.stdout = outlet{process: p, deliver: p.events.Stdout, fd: ours}
	if !split {
		return stdout, stdout, nil
	}
	if ours, stderr, err = pipe(); err != nil {
		closeEnds(p.stdout.fd, stdout)
		return -1, -1, err
	}
	p.stderr = &outlet{process: p, deliver: p.events.Stderr, fd: ours}
	return stdout, stderr, nil
}

// closeEnds closes two descriptors, which may be the same.
func closeEnds(a, b int) {
	unix.Close(a)
	if b != a {
		unix.Close(b)
	}
}

// outlets calls f for each that there is.
func (p *Process) outlets(f func(*outlet) bool) {
	if f(&p.stdout) && p.stderr != nil {
		f(p.stderr)
	}
}

func (p *Process) watchOutlets() error {
	for o := range p.outlets {
		if err := p.loop.watch(o.fd, watched{p, o}); err != nil {
			return err
		}
	}
	return nil
}

// dropOutlets is called when the command was not started.
func (p *Process) dropOutlets() {
	for o := range p.outlets {
		p.loop.unwatch(o.fd)
		unix.Close(o.fd)
	}
}

// outputOpen says that somebody may still write.
func (p *Process) outputOpen() bool {
	return p.stdout.fd >= 0 || p.stderr != nil && p.stderr.fd >= 0
}

// readSome delivers output that is there, and closes the pipe when the last holder
// of its other end has.
func (o *outlet) readSome() {
	const most = 16 // reads at a time: others wait
	p := o.process
	for range most {
		n, again := o.read(readBytes)
		if !again {
			return
		}
		if !p.endedAt.IsZero() && !p.settled {
			continue // what the command left is read to the end
		}
		if n < readBytes {
			return
		}
		if p.loop.floods.add(&o.share, n) {
			p.loop.rest(o)
			return
		}
	}
}

// read delivers at most limit bytes. again says that there may be more by now.
func (o *outlet) read(limit int) (n int, again bool) {
	if o.fd < 0 {
		return 0, false
	}
	p := o.process
	var err error
	for {
		if n, err = unix.Read(o.fd, p.loop.buffer[:min(limit, readBytes)]); err != unix.EINTR {
			break
		}
	}
	switch {
	case err == unix.EAGAIN:
		return 0, false
	case n <= 0:
		o.close()
		return 0, false
	}
	o.deliver(p.loop.buffer[:n])
	o.pipe.add(o, n)
	return n, true
}

// drainElapsed is the event that somebody else holds a pipe of an ended command for
// long. What is in it now holds all that the command wrote; nobody else reads it, so
// it is there until taken.
func (p *Process) drainElapsed() {
	if p.settled {
		return
	}
	for o := range p.outlets {
		left := 0
		if o.fd >= 0 {
			left, _ = unix.IoctlGetInt(o.fd, ioctlUnread)
		}
		for left > 0 {
			n, again := o.read(left)
			if !again {
				break
			}
			left -= n
		}
	}
	p.settle()
}

// closeOutput lets go of the pipes.
func (p *Process) closeOutput() {
	p.letGoOfTerminal()
	for o := range p.outlets {
		o.close()
	}
}

// close lets go of the pipe. That the last one is closed is told before the exit can
// be.
func (o *outlet) close() {
	if o.fd < 0 {
		return
	}
	p := o.process
	o.pipe.release(p)
	p.loop.unwatch(o.fd)
	unix.Close(o.fd)
	o.fd = -1
	if p.outputOpen() {
		return
	}
	p.events.OutputClosed()
	p.settle()
	p.spawner.wg.Done()
}
