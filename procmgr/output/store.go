package output

import (
	"bytes"
	"slices"
	"sync"
	"time"
)

// Store keeps the first and the last bytes of a stream: in memory while they are
// few, then in a file of its [Space]. The zero value is ready to use, has no file,
// and holds no memory until something is written. All methods may be called
// concurrently.
//
// A store keeps up to three spans of the stream, in this order: the head, the last bytes
// that were written to the file, and the last bytes that could not be.
type Store struct {
	// Space is shared with other stores. It is set before the first use.
	Space *Space

	mu       sync.Mutex // guards the fields below
	mode     mode
	base     int64         // offset of the first byte of the head; what came before was dropped
	before   int64         // newlines before base
	total    int64         // bytes ever written
	newlines int64         // among all bytes ever written, so that lines behind a gap have numbers
	memory   []byte        // the head, unless it is in the file
	file     *spill        // nil until the store moves to one
	ring     ring          // the last bytes in mode inRing
	counted  held          // what Space has counted of this store
	failure  error         // why no file could be made or written
	runs     runs          // which stream the bytes came from
	changed  chan struct{} // closed at the next write; nil if nobody waits for it
	written  time.Time     // when something was last written
}

// mode is where a store puts the next bytes. Its steps are
//
//	inMemory -> inFile -> inRing
//	inMemory -> inRing
//
// Drop leads back to inMemory. Nothing leads back from closed.
type mode uint8

const (
	inMemory mode = iota // in memory, behind all earlier bytes
	inFile               // in the file, behind all earlier bytes
	inRing               // in a ring in memory, since no file could be made or written
	closed               // nowhere
)

// Append adds p, which came from one of the program's streams. It copies p.
func (s *Store) Append(stream Stream, p []byte) {
	if len(p) == 0 {
		return
	}
	s.mu.Lock()
	if s.mode == closed {
		s.mu.Unlock()
		return
	}
	s.runs.add(s.total, stream)
	s.newlines += int64(bytes.Count(p, []byte("\n")))
	s.written = s.Space.now()
	s.total += int64(len(p))
	s.keepLocked(p)
	s.runs.bound(min(s.total-s.base, s.Space.most()))
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	over := s.countLocked()
	s.mu.Unlock()
	over.makeRoom()
}

// keepLocked puts p where the last bytes of the stream are kept.
func (s *Store) keepLocked(p []byte) {
	if s.mode == inMemory {
		n := min(len(p), MemoryBytes-len(s.memory))
		if had := len(s.memory); had+n > cap(s.memory) && had > 0 {
			// By doubling, which leaves less for the garbage collector.
			s.memory = slices.Grow(s.memory, min(max(had, n), MemoryBytes-had))
		}
		s.memory = append(s.memory, p[:n]...)
		if p = p[n:]; len(p) == 0 {
			return
		}
		s.spillLocked()
	}
	if s.mode == inFile {
		n, err := s.file.append(p)
		if err == nil {
			return
		}
		s.mode, s.failure, p = inRing, err, p[n:]
	}
	s.ring.append(p)
}

// spillLocked moves what is in memory to a file. If no file can be made or written, half
// of it stays as the head and half goes to the ring.
func (s *Store) spillLocked() {
	held := s.memory
	file, err := s.Space.spill(s.base)
	if err == nil {
		if _, err = file.append(held); err == nil {
			s.mode, s.file, s.memory = inFile, file, nil
			return
		}
		file.close()
	}
	head := min(len(held), MemoryBytes-ringBytes)
	s.mode, s.failure, s.memory = inRing, err, held[:head:head]
	s.ring.append(held[head:])
}

// countLocked has Space count what the store takes now: nothing once it is closed.
func (s *Store) countLocked() exceeded {
	var h held
	if s.mode != closed {
		h.memory = int64(cap(s.memory) + s.ring.held() + s.runs.held())
		h.disk = s.file.size()
	}
	more := held{h.memory - s.counted.memory, h.disk - s.counted.disk}
	s.counted = h
	return s.Space.add(more)
}

// change lets f change what is held, unless the store is closed. f returns the file that
// is no longer needed, or nil: to close it can take long and needs no lock.
func (s *Store) change(f func() *spill) (open bool) {
	s.mu.Lock()
	open = s.mode != closed
	var old *spill
	if open {
		old = f()
		s.countLocked()
	}
	s.mu.Unlock()
	old.close()
	return open
}

// Drop gives up everything that is kept. What is written from now on is kept as if the
// stream began here, but offsets go on.
func (s *Store) Drop() { s.change(s.dropLocked) }

func (s *Store) dropLocked() (old *spill) {
	old = s.file
	s.mode, s.memory, s.file, s.ring = inMemory, nil, nil, ring{}
	s.base, s.before, s.failure = s.total, s.newlines, nil
	s.runs.forget(s.total)
	return old
}

// Spill moves what is in memory to a file. It drops what is in memory if no file can be
// made or written, or if there is so little that a file would not be worth it.
func (s *Store) Spill() {
	const worth = 16 << 10
	s.mu.Lock()
	mode, base, held := s.mode, s.base, s.memory // these bytes never change; more may come
	s.mu.Unlock()
	var file *spill
	err := ErrNoFolder
	if mode == inMemory && len(held) >= worth {
		if file, err = s.Space.spill(base); err == nil {
			_, err = file.append(held)
		}
	}
	open := s.change(func() *spill {
		if s.mode != mode || s.base != base || s.file != nil { // there is a file, or it has just changed
			return file
		}
		if err == nil {
			_, err = file.append(s.memory[len(held):])
		}
		if err != nil {
			s.dropLocked()
			return file
		}
		s.mode, s.file, s.memory = inFile, file, nil
		return nil
	})
	if !open {
		file.close()
	}
}

// shrunkTail is the longest tail, in bytes, that Shrink leaves.
const shrunkTail = 8 << 20

// Shrink gives up half of the file's tail or more, and reports whether it could. The
// rest goes to another file; for a moment there are both.
func (s *Store) Shrink() (done bool) {
	s.mu.Lock()
	old, base := s.file, s.base
	worth := s.mode == inFile && old.size() >= old.max/2 && old.max >= 2*minMax
	s.mu.Unlock()
	if !worth {
		return false
	}
	smaller, err := s.Space.spill(base)
	if err != nil {
		return false
	}
	smaller.max = min(old.max/2, HeadBytes+shrunkTail)
	c := newSpillCopy(old, smaller)
	for c.err == nil && !done {
		open := s.change(func() *spill {
			if s.file != old || s.mode != inFile {
				c.err = ErrNoFolder // another was faster
				return nil
			}
			// Only the last of it is written while the program waits, unless that writes
			// as fast as this copies.
			for c.read(); !c.last && c.copied > 2*smaller.max; c.read() {
				c.write()
			}
			if !c.last {
				return nil
			}
			if c.write(); c.err != nil {
				return nil
			}
			s.file, done = smaller, true
			return old
		})
		if !open {
			c.err = ErrNoFolder
		}
		if !done {
			c.write()
		}
	}
	if !done {
		smaller.close()
	}
	return done
}

// Close ends the stream and gives its room back. What is in memory can still be read,
// what was in a file can not.
func (s *Store) Close() {
	s.change(func() (old *spill) {
		if s.file != nil {
			old = s.dropLocked()
		}
		s.mode = closed
		return old
	})
}

// Total returns the number of bytes ever written.
func (s *Store) Total() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// Failure returns why a file could not be made or written, so that only a little of a
// long stream is kept, in memory. It returns nil if that is not so.
func (s *Store) Failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

// Changed returns the number of bytes ever written, when the last of them was
// written (zero if none was), and a channel that is closed at the next write.
func (s *Store) Changed() (total int64, written time.Time, more <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.total, s.written, s.changed
}
