package output

import "slices"

// Stream is one of what a program writes to.
type Stream uint8

const (
	Stdout Stream = iota // also of a program whose streams share one pipe
	Stderr
	mixed // has lost its tag
)

// runs say whose bytes are where. Beside a few there is one for 256 bytes that are
// kept; beyond that the oldest lose their tags.
type runs struct {
	list  []run
	split bool // there is more than one stream
}

// run is bytes of one stream, up to where the next begins.
type run struct {
	from   int64
	stream Stream
}

const (
	runBytes = 16 // of one in memory
	fewRuns  = 64
	perRun   = 256
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

// bound keeps the number of runs within what goes with so many kept bytes.
func (r *runs) bound(kept int64) {
	most := fewRuns + int(kept/perRun)
	if len(r.list) <= most {
		return
	}
	// A quarter at a time, so that it is seldom done.
	last := len(r.list) - most*3/4
	r.list[last].stream = r.streamOf(r.list[:last+1])
	r.list[last].from = r.list[0].from
	r.list = slices.Delete(r.list, 0, last)
}

// streamOf returns the one stream of some runs, or mixed.
func (r *runs) streamOf(list []run) Stream {
	for _, other := range list {
		if other.stream != list[0].stream {
			return mixed
		}
	}
	return list[0].stream
}

// forget drops the runs that end before an offset.
func (r *runs) forget(before int64) {
	if i := r.index(before); i > 0 {
		r.list = slices.Delete(r.list, 0, i)
	}
}

// index returns which run an offset is in.
func (r *runs) index(offset int64) int {
	i, found := slices.BinarySearchFunc(r.list, offset, func(x run, offset int64) int {
		switch {
		case x.from < offset:
			return -1
		case x.from > offset:
			return 1
		}
		return 0
	})
	if !found {
		i--
	}
	return max(i, 0)
}

// held is how many bytes of memory the runs take.
func (r *runs) held() int { return runBytes * cap(r.list) }

// each calls f for the parts of some bytes, which begin at an offset, with the
// stream they came from.
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
	OnlyStdout        // and what has lost its tag
	OnlyStderr        // likewise
)

func (f Filter) passes(s Stream) bool {
	return f == Both || s == mixed || f == OnlyStdout && s == Stdout || f == OnlyStderr && s == Stderr
}
