package output

import (
	"errors"
	"io"
	"os"
)

// HeadBytes is how many of the first bytes of a stream are kept for good, on disk.
const HeadBytes = 1 << 20

// spill is the file of a store: the head of the stream, and behind it a ring with its
// last bytes. The store's mutex guards it. A nil spill is no file.
type spill struct {
	file   *os.File
	folder *Folder
	base   int64 // offset in the stream of the file's first byte
	end    int64 // offset behind the last byte written
	max    int64 // size at most
}

// head returns the offset in the stream at which the head ends and the ring begins.
func (f *spill) head() int64 { return f.base + HeadBytes }

// tail returns the offset in the stream of the oldest byte in the ring.
func (f *spill) tail() int64 { return max(f.head(), f.end-(f.max-HeadBytes)) }

// size returns how many bytes the file has.
func (f *spill) size() int64 {
	if f == nil {
		return 0
	}
	return min(f.end-f.base, f.max)
}

// place returns where in the file an offset of the stream is, and how many bytes of the
// stream lie there one after the other.
func (f *spill) place(offset int64) (at, room int64) {
	if offset < f.head() {
		return offset - f.base, f.head() - offset
	}
	ring := f.max - HeadBytes
	at = (offset - f.head()) % ring
	return HeadBytes + at, ring - at
}

// append writes p behind what was written. n is how many bytes of p were written; those
// that later bytes of p have overwritten in the ring count as well.
func (f *spill) append(p []byte) (n int, err error) {
	for n < len(p) {
		at, room := f.place(f.end)
		part := p[n:min(int64(len(p)), int64(n)+room)]
		wrote, err := f.file.WriteAt(part, at)
		n += wrote
		f.end += int64(wrote)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// read fills p from an offset that is kept until something is missing, and returns how
// many bytes that was.
func (f *spill) read(p []byte, offset int64) (n int) {
	for n < len(p) && offset < f.end {
		at, room := f.place(offset)
		most := min(room, f.end-offset, int64(len(p)-n))
		got, err := f.file.ReadAt(p[n:n+int(most)], at)
		n, offset = n+got, offset+int64(got)
		if err != nil && !(errors.Is(err, io.EOF) && got > 0) {
			break
		}
		if offset == f.head() && f.tail() > offset {
			break
		}
	}
	return n
}

// spillCopy copies the head of a file, and as much of its tail as fits, to another,
// while the first may grow.
type spillCopy struct {
	from, to *spill
	at       int64 // offset of what is read next
	buffer   []byte
	chunk    []byte // what was read and is to be written
	last     bool   // chunk reaches to the end
	copied   int64
	err      error
}

func newSpillCopy(from, to *spill) *spillCopy {
	return &spillCopy{from: from, to: to, at: from.base, buffer: make([]byte, 64<<10)}
}

// read reads the next chunk.
func (c *spillCopy) read() {
	f := c.from
	if ring := c.to.max - HeadBytes; c.at >= f.head() && f.end-c.at > ring {
		// The bytes between are not copied, but have their places in the ring.
		c.at = max(f.tail(), f.end-ring)
		c.to.end = c.at
	}
	n := f.read(c.buffer, c.at)
	if c.at < f.head() { // not across the border
		n = int(min(int64(n), f.head()-c.at))
	}
	if n == 0 && c.at < f.end {
		c.err = io.ErrUnexpectedEOF
	}
	c.chunk = c.buffer[:n]
	c.at += int64(n)
	c.copied += int64(n)
	c.last = c.at == f.end || c.err != nil
}

// write writes the chunk that was read, once.
func (c *spillCopy) write() {
	if c.err == nil {
		_, c.err = c.to.append(c.chunk)
	}
	c.chunk = nil
}

func (f *spill) close() {
	if f != nil {
		f.folder.remove(f.file)
	}
}
