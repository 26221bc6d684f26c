package output

import (
	"errors"
	"io"
	"os"
)

// HeadBytes is how many of the first bytes of a stream are kept for good, on disk.
const HeadBytes = 1 << 20

// spill is the file of a store: the head of the stream, and behind it a ring of
// its last bytes. It is guarded by the store's mutex. A nil one is no file.
type spill struct {
	file   *os.File
	folder *Folder
	base   int64 // offset in the stream of the file's first byte
	end    int64 // offset behind the last byte written
	max    int64 // bytes that the file may have
}

// head is the offset in the stream at which the ring begins.
func (f *spill) head() int64 { return f.base + HeadBytes }

// tail is the offset of the oldest byte in the ring.
func (f *spill) tail() int64 { return max(f.head(), f.end-(f.max-HeadBytes)) }

// size is how many bytes the file has.
func (f *spill) size() int64 { return min(f.end-f.base, f.max) }

// place returns where in the file an offset is, and how many bytes there follow
// each other.
func (f *spill) place(offset int64) (at, room int64) {
	if offset < f.head() {
		return offset - f.base, f.head() - offset
	}
	ring := f.max - HeadBytes
	at = (offset - f.head()) % ring
	return HeadBytes + at, ring - at
}

// append writes p behind what was written. n says how much of p is not to be
// written again: what there is no room for in the ring counts as written.
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

// read fills p from an offset that is kept, up to a gap, and returns how much.
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

// copyTo writes the head and as much of the tail as fits to another.
func (f *spill) copyTo(other *spill) error {
	chunk := make([]byte, 64<<10)
	for offset := f.base; offset < f.end; {
		if ring := other.max - HeadBytes; offset >= f.head() && f.end-offset > ring {
			// The bytes between are not copied, but have their places in the ring.
			offset = max(f.tail(), f.end-ring)
			other.end = offset
		}
		n := f.read(chunk, offset)
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		if offset < f.head() { // not across the border
			n = int(min(int64(n), f.head()-offset))
		}
		if _, err := other.append(chunk[:n]); err != nil {
			return err
		}
		offset += int64(n)
	}
	return nil
}

func (f *spill) close() {
	if f != nil {
		f.folder.remove(f.file)
	}
}
