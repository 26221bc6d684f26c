//go:build linux || darwin

package spawn

import (
	"syscall"
	"time"
)

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

// pipeSize makes the pipe of an output larger while it is busy.
type pipeSize struct {
	p    *Process
	raw  syscall.RawConn
	full int // bytes that came in full reads
	big  bool
}

// prepare is called before each read: of a large pipe it must return when
// nothing comes.
func (s *pipeSize) prepare() {
	if s.big {
		s.deadline(time.Now().Add(pipeIdle))
	}
}

// add counts what a read gave.
func (s *pipeSize) add(n int) {
	if s.big || n < readBytes {
		return
	}
	if s.full += n; s.full < busyBytes {
		return
	}
	s.full = 0
	if s.p.spawner.bigPipes.Add(1) > maxBigPipes || !s.set(bigPipe) {
		s.p.spawner.bigPipes.Add(-1)
		return
	}
	s.big = true
}

// shrink makes it as large as it was.
func (s *pipeSize) shrink() {
	if s.big {
		s.big = false
		s.set(usualPipe)
		s.p.spawner.bigPipes.Add(-1)
		s.deadline(time.Time{})
	}
}

func (s *pipeSize) set(bytes int) (ok bool) {
	_ = s.raw.Control(func(fd uintptr) { ok = setPipeSize(fd, bytes) })
	return ok
}

// deadline sets the end of the next read, unless the end of the command has set
// its own.
func (s *pipeSize) deadline(at time.Time) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if !s.p.ended {
		_ = s.p.output.SetReadDeadline(at)
	}
}
