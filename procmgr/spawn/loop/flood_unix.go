//go:build unix

package loop

import "time"

const (
	// floodWindow and floodBytes bound what is read in all while many commands write as
	// fast as they can, to some 400 MB/s. Reading more would use up this program's share
	// of the processors, and everything else would wait.
	floodWindow = 20 * time.Millisecond
	floodBytes  = 8 << 20
	// fewFloods is how many are read as fast as they come.
	fewFloods = 2
)

// floods counts the outputs that come in full reads, window by window.
type floods struct {
	window int64 // number of the current one
	count  int   // outputs that flooded in it
	before int   // and in the one before
}

// share is how much of an output was read in the current window.
type share struct {
	window int64
	bytes  int
}

// add counts a full read, and reports whether the output has used up its share of the
// window.
func (f *floods) add(s *share, n int) (over bool) {
	switch now := time.Now().UnixNano() / int64(floodWindow); {
	case now == f.window+1:
		f.window, f.count, f.before = now, 0, f.count
	case now != f.window:
		f.window, f.count, f.before = now, 0, 0
	}
	if s.window != f.window {
		s.window, s.bytes = f.window, 0
		f.count++
	}
	s.bytes += n
	many := max(f.count, f.before)
	return many > fewFloods && s.bytes >= floodBytes/many
}
