package output

import (
	"bytes"
	"iter"
)

const (
	scanBytes = 256 << 10 // read at a time
	// longLine is where a line is taken for ended, so that one without end costs
	// little.
	longLine = 64 << 10
)

// line is one of a stream, without its end. text is valid until the next one.
type line struct {
	text   []byte
	at     int64 // offset of its first byte
	number int64 // counted from 1; 0 if it is not known
	ended  bool  // by a newline
}

// after returns the offset behind a line.
func (l line) after() int64 {
	after := l.at + int64(len(l.text))
	if l.ended {
		after++
	}
	return after
}

// lines are the lines of one or both streams from a cursor to an end. The last one
// may not be ended.
func (s *Store) lines(cursor, end int64, filter Filter) iter.Seq[line] {
	return s.cutLines(cursor, end, filter, filter == Both)
}

// uncounted are the lines of both streams without their numbers, which take long
// to know far from either end.
func (s *Store) uncounted(cursor int64) iter.Seq[line] {
	return s.cutLines(cursor, s.Total(), Both, false)
}

func (s *Store) cutLines(cursor, end int64, filter Filter, counts bool) iter.Seq[line] {
	return func(yield func(line) bool) {
		l := lineCutter{yield: yield, store: s, counts: counts}
		buffer := make([]byte, min(scanBytes, max(0, end-cursor)))
		begun := false
		for cursor < end && !l.stopped {
			c, parts := s.readParts(buffer[:min(scanBytes, end-cursor)], cursor, filter)
			if c.At > cursor || !begun {
				begun = true
				l.jump(c.At)
			}
			for _, part := range parts {
				l.cut(part.data, part.at)
			}
			if len(c.Data) == 0 {
				break
			}
			cursor = c.Next
		}
		l.flush()
	}
}

type part struct {
	data     []byte
	at       int64
	untagged bool
}

// readParts is Read, and the parts of it that pass the filter.
func (s *Store) readParts(p []byte, cursor int64, filter Filter) (c Chunk, parts []part) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c = s.readLocked(p, cursor)
	if filter == Both {
		return c, []part{{c.Data, c.At, false}}
	}
	s.runs.each(c.Data, c.At, func(stream Stream, data []byte, at int64) {
		if filter.passes(stream) {
			parts = append(parts, part{data, at, stream == mixed})
		}
	})
	return c, parts
}

// lineCutter cuts parts of a stream into lines.
type lineCutter struct {
	yield   func(line) bool
	stopped bool
	store   *Store
	counts  bool
	next    int64  // number of the line that goes on, 0 if it is not known
	carry   []byte // what there is of it
	carryAt int64
}

// jump is called where the stream begins, and behind what is not kept.
func (l *lineCutter) jump(at int64) {
	l.flush()
	if l.counts {
		l.next = l.store.number(at)
	}
}

func (l *lineCutter) cut(p []byte, at int64) {
	for len(p) > 0 && !l.stopped {
		text, rest, ended := bytes.Cut(p, []byte("\n"))
		if over := len(l.carry) + len(text) - longLine; over > 0 {
			text = text[:len(text)-over]
			rest, ended = p[len(text):], false
		}
		size := int64(len(p) - len(rest))
		if len(l.carry) == 0 && ended { // most lines: nothing is copied
			l.give(line{text, at, l.next, true})
		} else {
			if len(l.carry) == 0 {
				l.carryAt = at
			}
			l.carry = append(l.carry, text...)
			if ended || len(l.carry) == longLine {
				l.give(line{l.carry, l.carryAt, l.next, ended})
				l.carry = l.carry[:0]
			}
		}
		if ended && l.next > 0 {
			l.next++
		}
		p, at = rest, at+size
	}
}

func (l *lineCutter) flush() {
	if len(l.carry) > 0 && !l.stopped {
		l.give(line{l.carry, l.carryAt, l.next, false})
	}
	l.carry = l.carry[:0]
}

func (l *lineCutter) give(x line) { l.stopped = l.stopped || !l.yield(x) }

// number returns the number of the line that the byte at an offset is in, 0 if it
// cannot be known: what lies between it and either end is not kept.
func (s *Store) number(offset int64) int64 {
	s.mu.Lock()
	base, before, total, all := s.base, s.before, s.total, s.newlines
	s.mu.Unlock()
	if n, ok := s.newlinesIn(base, offset); ok {
		return before + n + 1
	}
	if n, ok := s.newlinesIn(offset, total); ok {
		return all - n + 1
	}
	return 0
}

// newlinesIn counts them; ok is false if something there is not kept.
func (s *Store) newlinesIn(from, to int64) (n int64, ok bool) {
	if s.Kept(from, to) != to-from {
		return 0, false
	}
	buffer := make([]byte, min(scanBytes, to-from))
	for from < to {
		c := s.Read(buffer[:min(scanBytes, to-from)], from)
		if c.At != from || len(c.Data) == 0 {
			return 0, false
		}
		n += int64(bytes.Count(c.Data, []byte("\n")))
		from = c.Next
	}
	return n, true
}
