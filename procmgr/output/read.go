package output

// span is a part of the stream that is kept.
type span struct {
	from, to int64
	read     func(p []byte, offset int64) int // fills p from an offset in the span
}

// spansLocked returns the parts that are kept, in order.
func (s *Store) spansLocked() (list [3]span) {
	if f := s.file; f != nil {
		list[0] = span{f.base, min(f.head(), f.end), f.read}
		list[1] = span{f.tail(), max(f.tail(), f.end), f.read}
	} else {
		list[0] = span{s.base, s.base + int64(len(s.memory)), func(p []byte, offset int64) int {
			return copy(p, s.memory[offset-s.base:])
		}}
		list[1] = span{list[0].to, list[0].to, nil}
	}
	from := s.total - int64(len(s.ring.bytes))
	list[2] = span{from, s.total, func(p []byte, offset int64) int { return s.ring.read(p, int(offset-from)) }}
	return list
}

// Chunk is a part of a stream.
type Chunk struct {
	Data []byte
	At   int64 // offset of Data; behind the one that was asked for if that is not kept
	Next int64 // offset behind Data
}

// Read reads into p what is kept from an offset on, until p is full or something is
// missing. An offset beyond the end is the end.
func (s *Store) Read(p []byte, cursor int64) Chunk {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.readLocked(p, cursor)
}

func (s *Store) readLocked(p []byte, cursor int64) Chunk {
	c := Chunk{At: s.total, Next: s.total}
	n := 0
	for _, span := range s.spansLocked() {
		if span.to <= cursor || span.to == span.from {
			continue
		}
		at := max(cursor, span.from)
		if n > 0 && at > c.Next {
			break // something is missing in between
		}
		if n == 0 {
			c.At, c.Next = at, at
		}
		want := p[n:min(int64(len(p)), int64(n)+span.to-at)]
		got := span.read(want, at)
		if got == 0 && n == 0 { // the file cannot be read
			c.At, c.Next = s.total, s.total
			continue
		}
		n, c.Next = n+got, at+int64(got)
		if got < len(want) || n == len(p) {
			break
		}
		cursor = c.Next
	}
	c.Data = p[:n]
	return c
}

// Kept returns how many of the bytes between two offsets are kept.
func (s *Store) Kept(from, to int64) (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, span := range s.spansLocked() {
		n += max(0, min(to, span.to)-max(from, span.from))
	}
	return n
}
