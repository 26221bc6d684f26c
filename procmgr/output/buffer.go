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
	// Budget is shared with other buffers. It is set before the first use.
	Budget *Budget

	mu     sync.Mutex // guards the fields below
	closed bool       // nothing more is taken in, and the budget is given back
	base   int64      // offset of the first byte of head: what was before is dropped
	head   []byte     // the first bytes, up to HeadBytes
	tail   []byte     // the last bytes behind the head; a ring once it is TailBytes long
	start  int        // index of the oldest byte in a full ring
	total  int64      // bytes ever written
}

// Append adds p to the stream. It copies p.
func (b *Buffer) Append(p []byte) {
	if b.append(p) {
		b.Budget.makeRoom()
	}
}

// append says whether the budget is exceeded.
func (b *Buffer) append(p []byte) (over bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.total += int64(len(p))
	before := b.allocatedLocked()
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
	return b.Budget.add(b.allocatedLocked() - before)
}

func (b *Buffer) allocatedLocked() int { return cap(b.head) + cap(b.tail) }

// Drop gives up what is held. What is written from now on is kept anew, as if the
// stream began here, but for its offsets.
func (b *Buffer) Drop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.Budget.add(-b.allocatedLocked())
	b.head, b.tail, b.start, b.base = nil, nil, 0, b.total
}

// Close ends the stream and gives its memory back to the budget. Who still has the
// buffer can read it.
func (b *Buffer) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		b.Budget.add(-b.allocatedLocked())
	}
}

// Total returns the number of bytes ever written.
func (b *Buffer) Total() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total
}

// kept returns copies of the head and the tail in order, how many bytes before
// them were dropped, and the total. When nothing is missing between the two, all of
// it is in head.
func (b *Buffer) kept() (head, tail []byte, dropped, total int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	tail = make([]byte, 0, len(b.tail))
	tail = append(append(tail, b.tail[b.start:]...), b.tail[:b.start]...)
	if held := len(b.head) + len(b.tail); b.total == b.base+int64(held) {
		return append(append(make([]byte, 0, held), b.head...), tail...), nil, b.base, b.total
	}
	return append([]byte(nil), b.head...), tail, b.base, b.total
}
