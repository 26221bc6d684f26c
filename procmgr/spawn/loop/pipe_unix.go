//go:build unix

package loop

import "golang.org/x/sys/unix"

// Pipe is our end of a pipe, or of a terminal, that a command writes to. Once it is
// watched its methods are called in the loop alone.
type Pipe struct {
	loop    *Loop
	reader  Reader
	deliver func(p []byte)
	fd      int // -1 when it is closed
	size    size
	share   share
}

// Reader is what a pipe belongs to. Its functions are called in the loop.
type Reader interface {
	// Draining reports whether the exit of the command waits for what is in the pipe, so
	// that it is read to the end at once.
	Draining() bool
	// PipeClosed is called when the pipe was closed: by the last holder of its other
	// end, or by Close.
	PipeClosed()
}

// NewPipe returns our end of a pipe, which must not block. deliver gets what is read; p
// is only valid during the call.
func (l *Loop) NewPipe(fd int, reader Reader, deliver func(p []byte)) Pipe {
	return Pipe{loop: l, fd: fd, reader: reader, deliver: deliver}
}

// Watch has the loop read the pipe. The Pipe must not be moved from here on.
func (p *Pipe) Watch() error { return p.loop.Watch(p.fd, p, false) }

// IsOpen reports whether somebody may still write.
func (p *Pipe) IsOpen() bool { return p.fd >= 0 }

// Ready reads some of what is there.
func (p *Pipe) Ready() {
	const most = 16 // reads at a time: others wait
	for range most {
		n, again := p.read(ReadBytes)
		if !again {
			return
		}
		if p.reader.Draining() {
			continue
		}
		if n < ReadBytes {
			return
		}
		if p.loop.floods.add(&p.share, n) {
			p.loop.poller.pause(p.fd, true)
			p.loop.rest(p.resume)
			return
		}
	}
}

// resume has the loop read the pipe again, after a rest.
func (p *Pipe) resume() {
	if p.fd >= 0 {
		p.loop.poller.pause(p.fd, false)
	}
}

// read delivers at most limit bytes. again reports whether there may be more by now.
func (p *Pipe) read(limit int) (n int, again bool) {
	if p.fd < 0 {
		return 0, false
	}
	var err error
	for {
		if n, err = unix.Read(p.fd, p.loop.buffer[:min(limit, ReadBytes)]); err != unix.EINTR {
			break
		}
	}
	switch {
	case err == unix.EAGAIN:
		return 0, false
	case n <= 0:
		p.Close()
		return 0, false
	}
	p.deliver(p.loop.buffer[:n])
	p.size.add(p.loop, p.fd, n)
	return n, true
}

// ReadPresent delivers what is in the pipe now, but not what is written meanwhile.
func (p *Pipe) ReadPresent() {
	left := 0
	if p.fd >= 0 {
		left, _ = unix.IoctlGetInt(p.fd, ioctlUnread)
	}
	for left > 0 {
		n, again := p.read(left)
		if !again {
			return
		}
		left -= n
	}
}

// Close closes the pipe. Closing it again does nothing.
func (p *Pipe) Close() {
	if p.fd < 0 {
		return
	}
	p.size.release(p.loop)
	p.Drop()
	p.reader.PipeClosed()
}

// Drop closes a pipe whose command was not started, without calling PipeClosed.
func (p *Pipe) Drop() {
	p.loop.Unwatch(p.fd)
	unix.Close(p.fd)
	p.fd = -1
}
