package output

import (
	"bytes"
	"iter"
)

const (
	scanBytes = 256 << 10 // bytes read at a time
	// longLine is the length at which a line is given in pieces, so that a line
	// without an end costs little memory.
	longLine = 64 << 10
)

// line is a line of a stream, or a gap between two lines.
type line struct {
	text   []byte // without its newline; valid until the next line
	at     int64  // offset of the first byte
	number int64  // counted from 1; 0 if it is not known
	ended  bool   // a newline follows the text
	// missing is the length in bytes of a gap: output that is no longer kept. Nothing
	// but at is set beside it. It is 0 for a line.
	missing int64
}

// after returns the offset behind a line.
func (l line) after() int64 {
	after := l.at + int64(len(l.text))
	if l.ended {
		after++
	}
	return after
}

// lines yields, in order, the lines that begin between two offsets and the gaps
// between them. The last line may have no end. With numbered each line has its
// number, which takes long to find far from either end of the stream.
func (s *Store) lines(cursor, end int64, filter Filter, numbered bool) iter.Seq[line] {
	return func(yield func(line) bool) {
		splitter := lineSplitter{yield: yield}
		buffer := make([]byte, min(scanBytes, max(0, end-cursor)))
		for begun := false; cursor < end && !splitter.stopped; begun = true {
			c, parts := s.readParts(buffer[:min(scanBytes, end-cursor)], cursor, filter)
			at := min(c.At, end)
			if at > cursor || !begun {
				number := int64(0)
				if numbered {
					number = s.number(at)
				}
				splitter.gap(cursor, at, number)
			}
			for _, part := range parts {
				splitter.split(part.data[:min(int64(len(part.data)), max(0, end-part.at))], part.at)
			}
			cursor = max(at, c.Next)
		}
		splitter.flush()
	}
}

// part is a part of a chunk that came from one stream.
type part struct {
	data     []byte
	at       int64
	untagged bool
}

// readParts is Read, and also returns those parts of the chunk that pass the filter.
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

// lineSplitter splits consecutive parts of a stream into lines.
type lineSplitter struct {
	yield   func(line) bool
	stopped bool   // yield has returned false
	number  int64  // of the line that comes next or goes on; 0 if it is not known
	begun   []byte // the beginning of a line whose end is still to come
	begunAt int64
}

// gap ends the line that goes on and skips what is not kept between two offsets.
// The line behind it has this number.
func (s *lineSplitter) gap(from, to, number int64) {
	s.flush()
	if to > from {
		s.give(line{at: from, missing: to - from})
	}
	s.number = number
}

// split takes in the next part of the stream.
func (s *lineSplitter) split(p []byte, at int64) {
	for len(p) > 0 && !s.stopped {
		text, rest, ended := bytes.Cut(p, []byte("\n"))
		if over := len(s.begun) + len(text) - longLine; over > 0 {
			text = text[:len(text)-over]
			rest, ended = p[len(text):], false
		}
		size := int64(len(p) - len(rest))
		if len(s.begun) == 0 && ended { // most lines: nothing is copied
			s.give(line{text: text, at: at, number: s.number, ended: true})
		} else {
			if len(s.begun) == 0 {
				s.begunAt = at
			}
			s.begun = append(s.begun, text...)
			if ended || len(s.begun) == longLine {
				s.give(line{text: s.begun, at: s.begunAt, number: s.number, ended: ended})
				s.begun = s.begun[:0]
			}
		}
		if ended && s.number > 0 {
			s.number++
		}
		p, at = rest, at+size
	}
}

// flush gives the line that goes on as it is.
func (s *lineSplitter) flush() {
	if len(s.begun) > 0 {
		s.give(line{text: s.begun, at: s.begunAt, number: s.number})
	}
	s.begun = s.begun[:0]
}

func (s *lineSplitter) give(l line) {
	s.stopped = s.stopped || !s.yield(l)
}

// number returns the number of the line that holds the byte at an offset, counted
// from 1. It returns 0 if output is missing on the way to both ends of the stream.
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

// newlinesIn counts the newlines between two offsets; ok is false if something
// there is not kept.
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
