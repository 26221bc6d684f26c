package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// maxUnread is how many bytes of the log wait for a reader.
	maxUnread = 1 << 20
	// flushTime is how long the program waits for a reader when it ends.
	flushTime = time.Second
)

// unhurried is a writer that never waits for w: a client that does not read the log
// must neither stop calls nor keep processes alive. It drops what w does not take in
// time, and counts it.
type unhurried struct {
	w io.Writer

	mu     sync.Mutex // guards the fields below
	unread [][]byte
	bytes  int           // in unread
	lost   int           // dropped writes
	ended  chan struct{} // closed when drain returns; nil before the first write
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

// drain writes what is unread until there is no more.
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
			_, _ = u.w.Write(p) // an error could only be written to w
		}
		if lost > 0 {
			fmt.Fprintf(u.w, "proctor: %d log records were dropped because nobody read the log\n", lost)
		}
	}
}

// flush waits until everything is written, at most flushTime.
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
