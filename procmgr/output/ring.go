package output

// ringBytes is how many bytes a ring keeps.
const ringBytes = MemoryBytes / 2

// ring keeps the last bytes of a stream in memory.
type ring struct {
	bytes []byte
	start int // index of the oldest byte once the ring is full
}

func (r *ring) append(p []byte) {
	if r.bytes == nil {
		r.bytes = make([]byte, 0, ringBytes)
	}
	p = p[max(0, len(p)-ringBytes):]
	n := min(ringBytes-len(r.bytes), len(p))
	r.bytes = append(r.bytes, p[:n]...)
	for p = p[n:]; len(p) > 0; p = p[n:] {
		n = copy(r.bytes[r.start:], p)
		r.start = (r.start + n) % ringBytes
	}
}

// read fills p from the byte on that is skip bytes behind the oldest, and returns how
// many bytes that was.
func (r *ring) read(p []byte, skip int) (n int) {
	oldest, newest := r.bytes[r.start:], r.bytes[:r.start]
	if skip < len(oldest) {
		n = copy(p, oldest[skip:])
	}
	return n + copy(p[n:], newest[max(0, skip-len(oldest)):])
}

// held returns how many bytes of memory the ring takes.
func (r *ring) held() int { return cap(r.bytes) }
