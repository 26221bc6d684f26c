package output

import "bytes"

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

// lineReader reads the lines of one or both streams from a cursor to an end. The
// last one may not be ended.
type lineReader struct {
	store       *Store
	cursor, end int64
	filter      Filter
	counts      bool // the lines have numbers, which take long to know far from either end

	lost    int64 // bytes before the last line given, behind it at last, that were not kept
	ahead   int64 // those behind it
	yield   func(line) bool
	stopped bool
	next    int64  // number of the line that goes on, 0 if it is not known
	carry   []byte // what there is of it
	carryAt int64
}

func (s *Store) lines(cursor, end int64, filter Filter) *lineReader {
	return &lineReader{store: s, cursor: cursor, end: end, filter: filter, counts: filter == Both}
}

// uncounted are the lines of both streams without their numbers.
func (s *Store) uncounted(cursor int64) *lineReader {
	return &lineReader{store: s, cursor: cursor, end: s.Total(), filter: Both}
}

// all gives the lines, an iter.Seq.
func (r *lineReader) all(yield func(line) bool) {
	r.yield = yield
	buffer := make([]byte, min(scanBytes, max(0, r.end-r.cursor)))
	for begun := false; r.cursor < r.end && !r.stopped; begun = true {
		c, parts := r.store.readParts(buffer[:min(scanBytes, r.end-r.cursor)], r.cursor, r.filter)
		at := min(c.At, r.end)
		if at > r.cursor || !begun {
			r.jump(at)
		}
		for _, part := range parts {
			r.cut(part.data[:min(int64(len(part.data)), max(0, r.end-part.at))], part.at)
		}
		r.cursor = max(at, c.Next)
	}
	r.flush()
	r.lost, r.ahead = r.lost+r.ahead, 0
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

// jump is called where the stream begins, and behind what is not kept.
func (r *lineReader) jump(at int64) {
	r.flush()
	r.ahead += at - r.cursor
	if r.counts {
		r.next = r.store.number(at)
	}
}

func (r *lineReader) cut(p []byte, at int64) {
	for len(p) > 0 && !r.stopped {
		text, rest, ended := bytes.Cut(p, []byte("\n"))
		if over := len(r.carry) + len(text) - longLine; over > 0 {
			text = text[:len(text)-over]
			rest, ended = p[len(text):], false
		}
		size := int64(len(p) - len(rest))
		if len(r.carry) == 0 && ended { // most lines: nothing is copied
			r.give(line{text, at, r.next, true})
		} else {
			if len(r.carry) == 0 {
				r.carryAt = at
			}
			r.carry = append(r.carry, text...)
			if ended || len(r.carry) == longLine {
				r.give(line{r.carry, r.carryAt, r.next, ended})
				r.carry = r.carry[:0]
			}
		}
		if ended && r.next > 0 {
			r.next++
		}
		p, at = rest, at+size
	}
}

func (r *lineReader) flush() {
	if len(r.carry) > 0 && !r.stopped {
		r.give(line{r.carry, r.carryAt, r.next, false})
	}
	r.carry = r.carry[:0]
}

func (r *lineReader) give(l line) {
	r.lost, r.ahead = r.lost+r.ahead, 0
	r.stopped = r.stopped || !r.yield(l)
}

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
