package output

import (
	"bytes"
	"slices"
	"sync"
	"time"
)

const (
	// HeadBytes is how many of the first bytes of a stream are kept for good, on
	// disk.
	HeadBytes = 1 << 20
	// MemoryBytes is how many bytes a store holds in memory before it moves to a
	// file, and how many where there is none: the first half and the last.
	MemoryBytes = 256 << 10
	// DefaultMax is how many bytes of a stream are kept, the first and the last.
	DefaultMax = 16 << 20
	// minMax leaves room for a tail behind the head.
	minMax = 2 * HeadBytes
)

// Store keeps the first and the last bytes of a stream: in memory while they are
// few, then in a file of [Space]. The zero value is ready to use, has no file, and
// holds no memory until something is written. All methods may be called
// concurrently.
//
// What is kept are up to three spans, in this order: the head, the last of what
// went to the file, and the last of what could not.
type Store struct {
	// Space is shared with other stores. It is set before the first use.
	Space *Space

	mu       sync.Mutex // guards the fields below
	closed   bool       // nothing more is taken in, and what was taken of Space is given back
	base     int64      // offset of the first byte of the head: what was before is dropped
	before   int64      // newlines before base
	total    int64      // bytes ever written
	newlines int64      // of them, so that lines have numbers behind a gap
	memory   []byte     // the head, unless it is in the file
	file     *spill     // nil while all is in memory
	ring     []byte     // the last bytes, where there is no file to put them
	start    int        // index of the oldest byte in a full ring
	failure  error      // why there is none (any more)
	runs     runs       // whose bytes they are
	changed  chan struct{}
	written  time.Time // when something last came
}

// Append adds p, which came from one of the program's streams. It copies p.
func (s *Store) Append(stream Stream, p []byte) {
	if len(p) == 0 {
		return
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	had := s.heldLocked()
	s.runs.add(s.total, stream)
	s.newlines += int64(bytes.Count(p, []byte("\n")))
	s.written = time.Now()
	s.total += int64(len(p))
	s.keepLocked(p)
	s.runs.bound(min(s.total-s.base, s.Space.most()))
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	over := s.Space.add(s.heldLocked().minus(had))
	s.mu.Unlock()
	over.makeRoom()
}

// keepLocked puts the last bytes of the stream where they are kept.
func (s *Store) keepLocked(p []byte) {
	if s.file == nil && s.ring == nil {
		n := min(len(p), MemoryBytes-len(s.memory))
		if had := len(s.memory); had+n > cap(s.memory) && had > 0 {
			// By doubling: what grows fast leaves less behind for the collector.
			s.memory = slices.Grow(s.memory, min(max(had, n), MemoryBytes-had))
		}
		s.memory = append(s.memory, p[:n]...)
		if p = p[n:]; len(p) == 0 {
			return
		}
		s.spillLocked()
	}
	if s.file != nil && s.ring == nil {
		n, err := s.file.append(p)
		if err == nil {
			return
		}
		s.failure, p = err, p[n:]
	}
	s.remember(p)
}

// spillLocked moves what is in memory to a file, or keeps the half of it as head.
func (s *Store) spillLocked() {
	held := s.memory
	file, err := s.Space.spill(s.base)
	if err == nil {
		if _, err = file.append(held); err == nil {
			s.file, s.memory = file, nil
			return
		}
		file.close()
	}
	s.failure = err
	head := min(len(held), MemoryBytes/2)
	s.memory = held[:head:head]
	s.ring = []byte{}
	s.remember(held[head:])
}

// remember keeps the last bytes in a ring.
func (s *Store) remember(p []byte) {
	const most = MemoryBytes / 2
	if s.ring == nil {
		s.ring = make([]byte, 0, most)
	}
	if len(p) > most {
		p = p[len(p)-most:]
	}
	if room := most - len(s.ring); room > 0 {
		n := min(room, len(p))
		s.ring = append(s.ring, p[:n]...)
		p = p[n:]
	}
	for len(p) > 0 {
		n := copy(s.ring[s.start:], p)
		s.start = (s.start + n) % most
		p = p[n:]
	}
}

// held is what a store takes of a [Space].
type held struct{ memory, disk int64 }

func (h held) minus(other held) held { return held{h.memory - other.memory, h.disk - other.disk} }

func (s *Store) heldLocked() held {
	h := held{memory: int64(cap(s.memory) + cap(s.ring) + s.runs.size())}
	if s.file != nil {
		h.disk = s.file.size()
	}
	return h
}

// change makes a change to what is held, and accounts for it.
func (s *Store) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	had := s.heldLocked()
	f()
	s.Space.add(s.heldLocked().minus(had))
}

// Drop gives up what is held. What is written from now on is kept anew, as if the
// stream began here, but for its offsets.
func (s *Store) Drop() { s.change(s.dropLocked) }

func (s *Store) dropLocked() {
	s.file.close()
	s.memory, s.file, s.ring, s.start, s.base = nil, nil, nil, 0, s.total
	s.before, s.failure = s.newlines, nil
	s.runs.forget(s.total)
}

// Spill moves what is in memory to a file. Where there is none to be had, or what
// is in memory is so little that a file would not be worth it, it is dropped.
func (s *Store) Spill() {
	const worth = 16 << 10
	s.change(func() {
		if s.file == nil && s.ring == nil && len(s.memory) >= worth {
			if s.spillLocked(); s.file != nil {
				return
			}
		}
		if s.file == nil {
			s.dropLocked()
		}
	})
}

// shrunkTail is the longest tail that is left by Shrink: it is copied while the
// program waits.
const shrunkTail = 8 << 20

// Shrink gives up half of the file's tail or more, and says whether it could. The
// rest goes to another file; for a moment there are both.
func (s *Store) Shrink() (done bool) {
	s.change(func() {
		if s.file == nil || s.ring != nil || s.file.size() < s.file.max/2 || s.file.max < 2*minMax {
			return
		}
		smaller, err := s.Space.spill(s.base)
		if err != nil {
			return
		}
		smaller.max = min(s.file.max/2, HeadBytes+shrunkTail)
		if s.file.copyTo(smaller) != nil {
			smaller.close()
			return
		}
		s.file.close()
		s.file, done = smaller, true
	})
	return done
}

// Close ends the stream and gives back what it holds. What was in a file can be
// read no longer.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	s.Space.add(held{}.minus(s.heldLocked()))
	if s.file != nil {
		s.file.close()
		s.file, s.memory, s.ring, s.start, s.base = nil, nil, nil, 0, s.total
		s.before = s.newlines
	}
}

// Total returns the number of bytes ever written.
func (s *Store) Total() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// Failure says why output is kept in memory alone although there is much of it: no
// file could be made or written. Nil if that is not so.
func (s *Store) Failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

// Changed returns the number of bytes ever written, when the last of them came
// (zero if none did), and a channel that is closed as soon as there are more.
func (s *Store) Changed() (total int64, written time.Time, more <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.total, s.written, s.changed
}
