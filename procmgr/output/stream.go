package output

import (
	"cmp"
	"slices"
)

// Stream is one that a program writes to.
type Stream uint8

const (
	Stdout Stream = iota // both streams, if they share one pipe
	Stderr
	mixed // it is no longer known which
)

// runs record which stream the bytes of a store came from. Their number is bounded: of
// the oldest bytes it is forgotten which stream they came from.
type runs struct {
	list  []run
	split bool // there is more than one stream
}

// run is bytes of one stream, up to where the next run begins.
type run struct {
	from   int64
	stream Stream
}

const (
	runBytes = 16  // of memory that a run takes
	fewRuns  = 64  // there may always be so many runs
	perRun   = 256 // and one more for so many bytes that are kept
)

func (r *runs) add(from int64, stream Stream) {
	if stream != Stdout && !r.split {
		r.split = true
		r.list = append(r.list, run{0, Stdout})
	}
	if r.split && r.list[len(r.list)-1].stream != stream {
		r.list = append(r.list, run{from, stream})
	}
}

// bound limits the number of runs by the number of bytes that are kept.
func (r *runs) bound(kept int64) {
	most := fewRuns + int(kept/perRun)
	if len(r.list) <= most {
		return
	}
	// A quarter at a time, so that this is seldom done.
	last := len(r.list) - most*3/4
	first := r.list[0]
	if slices.ContainsFunc(r.list[:last+1], func(other run) bool { return other.stream != first.stream }) {
		first.stream = mixed
	}
	r.list[last] = first
	r.list = slices.Delete(r.list, 0, last)
}

// forget drops the runs that end before an offset.
func (r *runs) forget(before int64) {
	r.list = slices.Delete(r.list, 0, min(r.index(before), len(r.list)))
}

// index returns the run that holds an offset.
func (r *runs) index(offset int64) int {
	i, found := slices.BinarySearchFunc(r.list, offset, func(x run, offset int64) int { return cmp.Compare(x.from, offset) })
	if !found {
		i--
	}
	return max(i, 0)
}

// held returns how many bytes of memory the runs take.
func (r *runs) held() int { return runBytes * cap(r.list) }

// each splits bytes that begin at an offset into parts of one stream each, and calls f
// with them.
func (r *runs) each(p []byte, offset int64, f func(stream Stream, part []byte, at int64)) {
	if !r.split {
		f(Stdout, p, offset)
		return
	}
	for i := r.index(offset); len(p) > 0; i++ {
		n := len(p)
		if i+1 < len(r.list) {
			n = int(min(int64(n), max(0, r.list[i+1].from-offset)))
		}
		if n > 0 {
			f(r.list[i].stream, p[:n], offset)
		}
		p, offset = p[n:], offset+int64(n)
	}
}

// Filter selects bytes by the stream that they came from.
type Filter uint8

const (
	Both       Filter = iota
	OnlyStdout        // and bytes of which it is no longer known
	OnlyStderr        // likewise
)

func (f Filter) passes(s Stream) bool {
	return f == Both || s == mixed || f == OnlyStdout && s == Stdout || f == OnlyStderr && s == Stderr
}
