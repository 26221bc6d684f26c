package output

import "sync"

const (
	// HeadBytes is how many of the first bytes are kept.
	HeadBytes = 16 << 10
	// TailBytes is how many of the last bytes are kept.
	TailBytes = 16 << 10
)

// Buffer keeps the head and the tail of a stream. The zero value is ready to
// use and holds no memory until something is written; a full one holds
// HeadBytes + TailBytes. All methods may be called concurrently.
type Buffer struct {
	mu    sync.Mutex // guards the fields below
	head  []byte     // the first bytes, up to HeadBytes
	tail  []byte     // the last bytes behind the head; a ring once it is TailBytes long
	start int        // index of the oldest byte in a full ring
	total int64      // bytes ever written
}

// Append adds p to the stream. It copies p.
func (b *Buffer) Append(p []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.total += int64(len(p))
	if room := HeadBytes - len(b.head); room > 0 {
		n := min(room, len(p))
		b.head = append(b.head, p[:n]...)
		p = p[n:]
	}
	// Only the last TailBytes of p can survive.
	if len(p) > TailBytes {
		p = p[len(p)-TailBytes:]
	}
	if room := TailBytes - len(b.tail); room > 0 {
		n := min(room, len(p))
		b.tail = append(b.tail, p[:n]...)
		p = p[n:]
	}
	for len(p) > 0 {
		n := copy(b.tail[b.start:], p)
		b.start = (b.start + n) % TailBytes
		p = p[n:]
	}
}

// Total returns the number of bytes ever written.
func (b *Buffer) Total() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total
}

// kept returns copies of the head and the tail in order, and the total. When
// nothing is missing between the two, all of it is in head.
func (b *Buffer) kept() (head, tail []byte, total int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	tail = make([]byte, 0, len(b.tail))
	tail = append(append(tail, b.tail[b.start:]...), b.tail[:b.start]...)
	if b.total == int64(len(b.head)+len(b.tail)) {
		return append(append(make([]byte, 0, b.total), b.head...), tail...), nil, b.total
	}
	return append([]byte(nil), b.head...), tail, b.total
}
