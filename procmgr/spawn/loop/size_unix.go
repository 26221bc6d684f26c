//go:build unix

package loop

import "time"

const (
	// A pipe that gave busyBytes in full reads is busy. A larger pipe then wakes its
	// writer and the loop less often.
	busyBytes = 1 << 20
	largeSize = 1 << 20
	usualSize = 64 << 10
	// maxLarge is how many pipes may be large at a time. The kernel limits the size of
	// all pipes of an ordinary user together (pipe-user-pages-soft in pipe(7), 64 MiB);
	// beyond that every new pipe of the user is tiny.
	maxLarge = 16
	// idleTime is how long a large pipe may be quiet before it is made small again.
	idleTime = time.Second
)

// size makes a pipe larger while it is busy.
type size struct {
	full  int  // bytes that came in full reads
	large bool // it is large
	busy  bool // something came since the last look
}

// add counts what a read of fd gave.
func (s *size) add(l *Loop, fd, n int) {
	s.busy = true
	if s.large || n < ReadBytes {
		return
	}
	if s.full += n; s.full < busyBytes {
		return
	}
	s.full = 0
	if l.largePipes == maxLarge || !setPipeSize(fd, largeSize) {
		return
	}
	l.largePipes++
	s.large = true
	s.lookLater(l, fd)
}

func (s *size) lookLater(l *Loop, fd int) {
	s.busy = false
	time.AfterFunc(idleTime, func() { l.Post(func() { s.look(l, fd) }) })
}

// look makes a pipe that is quiet as large as it was.
func (s *size) look(l *Loop, fd int) {
	switch {
	case s.large && s.busy:
		s.lookLater(l, fd)
	case s.large:
		setPipeSize(fd, usualSize)
		s.release(l)
	}
}

// release counts the pipe as large no longer. It is called before fd is closed.
func (s *size) release(l *Loop) {
	if s.large {
		s.large = false
		l.largePipes--
	}
}
