package output

import (
	"errors"
	"time"

	"github.com/coder/quartz"
)

const (
	// MemoryBytes is how many bytes a store holds in memory before it moves to a
	// file, and how many it keeps where there is no file: the first half and the last.
	MemoryBytes = 256 << 10
	// DefaultMax is how many bytes of a stream are kept, the first and the last.
	DefaultMax = 16 << 20
	// minMax leaves room for a tail behind the head.
	minMax = 2 * HeadBytes
)

// Space is what stores share: how much each may keep, how much they may keep together,
// and where. A nil Space has no files and no bounds.
type Space struct {
	// Max is how many bytes of one stream are kept, the first [HeadBytes] of them
	// included. 0 is DefaultMax; less than 2 MiB is 2 MiB.
	Max int64
	// Memory bounds what all stores hold in memory, Total what they hold there and
	// on disk. Nil bounds nothing.
	Memory, Total *Budget
	// Folder is where the files are. With nil, all is kept in memory.
	Folder *Folder
	// NoFolder is why there is no Folder; nil is ErrNoFolder.
	NoFolder error
	// Clock tells when something was written. Nil is the real one.
	Clock quartz.Clock
}

// ErrNoFolder reports that a store has no folder for a file.
var ErrNoFolder = errors.New("no folder")

// spill makes a file for a stream that begins at base.
func (s *Space) spill(base int64) (*spill, error) {
	if s == nil || s.Folder == nil {
		if s != nil && s.NoFolder != nil {
			return nil, s.NoFolder
		}
		return nil, ErrNoFolder
	}
	file, err := s.Folder.create()
	if err != nil {
		return nil, err
	}
	return &spill{file: file, folder: s.Folder, base: base, end: base, max: s.most()}, nil
}

// most returns how many bytes of one stream are kept.
func (s *Space) most() int64 {
	switch {
	case s == nil || s.Folder == nil:
		return MemoryBytes
	case s.Max == 0:
		return DefaultMax
	}
	return max(s.Max, minMax)
}

func (s *Space) now() time.Time {
	if s == nil || s.Clock == nil {
		return time.Now()
	}
	return s.Clock.Now()
}

// held is what a store takes of a [Space], in bytes.
type held struct{ memory, disk int64 }

// exceeded are the budgets in which room must be made; nil is none.
type exceeded []*Budget

func (e exceeded) makeRoom() {
	for _, b := range e {
		b.makeRoom()
	}
}

// add counts what a store takes and returns the budgets in which room must be made.
func (s *Space) add(h held) (over exceeded) {
	if s == nil || h == (held{}) {
		return nil
	}
	if s.Memory.add(h.memory) {
		over = append(over, s.Memory)
	}
	if s.Total.add(h.memory + h.disk) {
		over = append(over, s.Total)
	}
	return over
}

// Close waits until no room is made any more and closes the folder. Open files stay
// open.
func (s *Space) Close() error {
	s.Memory.wait()
	s.Total.wait()
	if s.Folder == nil {
		return nil
	}
	return s.Folder.Close()
}
