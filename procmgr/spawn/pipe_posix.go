//go:build linux || darwin

package spawn

import "time"

const (
	// busyBytes in full reads show that a pipe is busy. A larger one then saves
	// its writer and us a good part of the waking.
	busyBytes = 1 << 20
	bigPipe   = 1 << 20
	usualPipe = 64 << 10
	// maxBigPipes bounds them: what all pipes of an ordinary user hold together is
	// limited (pipe-user-pages-soft in pipe(7), 64 MiB), and beyond it every new
	// pipe of that user is tiny.
	maxBigPipes = 16
	// pipeIdle is how long a large pipe may be quiet before it is made small again.
	pipeIdle = time.Second
)

// pipeSize makes the pipe of an output larger while it is busy. It belongs to the
// loop.
type pipeSize struct {
	full int  // bytes that came in full reads
	big  bool // it is large
	busy bool // something came since the last look
}

// add counts what a read gave.
func (s *pipeSize) add(o *outlet, n int) {
	s.busy = true
	if s.big || n < readBytes {
		return
	}
	if s.full += n; s.full < busyBytes {
		return
	}
	s.full = 0
	p := o.process
	if p.spawner.bigPipes.Add(1) > maxBigPipes || !setPipeSize(o.fd, bigPipe) {
		p.spawner.bigPipes.Add(-1)
		return
	}
	s.big = true
	s.lookLater(o)
}

func (s *pipeSize) lookLater(o *outlet) {
	s.busy = false
	time.AfterFunc(pipeIdle, func() { o.process.loop.post(func() { s.look(o) }) })
}

// look makes a pipe that is quiet as large as it was.
func (s *pipeSize) look(o *outlet) {
	switch {
	case s.big && s.busy:
		s.lookLater(o)
	case s.big:
		setPipeSize(o.fd, usualPipe)
		s.release(o.process)
	}
}

// release gives up what it has of the bound.
func (s *pipeSize) release(p *Process) {
	if s.big {
		s.big = false
		p.spawner.bigPipes.Add(-1)
	}
}
