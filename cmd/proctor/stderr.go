package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// maxUnread is how much of the log waits for a reader, in bytes.
	maxUnread = 1 << 20
	// flushTime is how long the program's end waits for it.
	flushTime = time.Second
)

// unhurried writes to w without ever waiting for it: a client that does not read
// the log must not stop calls, or keep from their end what the server runs. What
// does not fit is lost and counted.
type unhurried struct {
	w io.Writer

	mu     sync.Mutex // guards the fields below
	unread [][]byte
	bytes  int           // in unread
	lost   int           // writes
	ended  chan struct{} // closed when nothing is being written; nil before the first
}

func (u *unhurried) Write(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.bytes+len(p) > maxUnread {
		u.lost++
		return len(p), nil
	}
	u.unread = append(u.unread, append([]byte(nil), p...))
	u.bytes += len(p)
	if u.ended == nil || isClosed(u.ended) {
		u.ended = make(chan struct{})
		go u.drain(u.ended)
	}
	return len(p), nil
}

// drain writes until nothing is left.
func (u *unhurried) drain(ended chan struct{}) {
	for {
		u.mu.Lock()
		unread, lost := u.unread, u.lost
		u.unread, u.bytes, u.lost = nil, 0, 0
		if len(unread) == 0 {
			close(ended)
			u.mu.Unlock()
			return
		}
		u.mu.Unlock()
		for _, p := range unread {
			_, _ = u.w.Write(p) // nobody is left to tell
		}
		if lost > 0 {
			fmt.Fprintf(u.w, "proctor: %d records were lost, since nobody read them\n", lost)
		}
	}
}

// flush waits until all is written, at most flushTime.
func (u *unhurried) flush() {
	u.mu.Lock()
	ended := u.ended
	u.mu.Unlock()
	if ended == nil {
		return
	}
	timer := time.NewTimer(flushTime)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	}
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
