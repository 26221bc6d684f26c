package output

import (
	"bytes"
	"fmt"
)

// Search is what to look for in the lines of a stream.
type Search struct {
	Pattern *Pattern
	Filter  Filter
	Cursor  int64 // offset where to begin
	// Before and After are how many lines around a match are returned as well.
	Before, After int
	MaxMatches    int // at least 1
	// Raw searches and shows control sequences, and text that other text was written
	// over.
	Raw bool
	// Pause is called now and then during long work, so that others can work. If it
	// returns false, the search ends. It may be nil.
	Pause func() bool
}

// Line is a line that a search has found, or one around it.
type Line struct {
	Text   string // valid UTF-8, cut at LineBytes
	Cursor int64  // offset of its first byte
	Number int64  // counted from 1, 0 if it is not known
	Match  bool   // else it stands before or after a match
}

// Found is what a search has found.
type Found struct {
	Lines   []Line
	Matches int
	// Gap is how many bytes before Next could not be searched: they are no longer kept.
	Gap int64
	// Next is the offset where to go on. Done reports whether the whole stream was
	// searched; else the search has found MaxMatches, or has reached a limit of its own.
	Next int64
	Done bool
}

// Work is counted in bytes times instructions of the expression. One such unit takes up
// to 4 ns, in most cases a tenth of that.
const (
	// searchWork is how much work a search does.
	searchWork = 128 << 20
	// findWork is how much work Find does.
	findWork = 16 << 20
	// turnWork is how much work a search does between two pauses.
	turnWork = 8 << 20
	// redrawWork is the work for each byte of a line that a terminal would not show as it
	// is.
	redrawWork = 16
	// searchText is about how many bytes of text a search returns.
	searchText = 32 << 10
)

// Search searches the lines of a stream. A line over 64 KiB is searched in pieces.
func (s *Store) Search(q Search) Found {
	found, end := Found{Next: q.Cursor}, s.Total()
	var before []Line // the last lines that were not returned
	full, after, work, paused, text := false, 0, 0, 0, 0
	give := func(lines ...Line) {
		for _, l := range lines {
			found.Lines = append(found.Lines, l)
			text += len(l.Text)
		}
	}
	missing := int64(0)
	for l := range s.lines(q.Cursor, end, q.Filter, q.Filter == Both) {
		if full && (after == 0 || text > searchText) {
			return found
		}
		if l.missing > 0 {
			missing += l.missing
			continue
		}
		work += len(l.text)
		shown := l.text
		if !q.Raw && redrawn(shown) {
			shown = lastState(shown)
			work += redrawWork * len(l.text)
		}
		match, cost := false, 0
		if !full {
			match, cost = q.Pattern.matches(shown)
			work += cost
			found.Next, found.Gap = l.after(), missing
		}
		switch {
		case match:
			given := newLine(l, shown, true)
			give(fitting(before, searchText-text-len(given.Text))...)
			give(given)
			before = before[:0]
			found.Matches++
			after = q.After
		case after > 0:
			after--
			give(newLine(l, shown, false))
		case q.Before > 0:
			if len(before) == q.Before {
				before = before[:copy(before, before[1:])]
			}
			before = append(before, newLine(l, shown, false))
		}
		// What follows is shown after the last match, and searched the next time.
		full = full || found.Matches == q.MaxMatches || text > searchText || work > searchWork
		if q.Pause != nil && work-paused > turnWork {
			if paused = work; !q.Pause() {
				return found
			}
		}
	}
	if !full {
		found.Next, found.Gap = end, missing
	}
	found.Done = found.Next >= end
	return found
}

// fitting returns as many of the last lines as have no more than size bytes of text.
func fitting(lines []Line, size int) []Line {
	for i := len(lines) - 1; i >= 0; i-- {
		if size -= len(lines[i].Text); size < 0 {
			return lines[i+1:]
		}
	}
	return lines
}

// Find returns the first line from an offset on that matches a pattern. If it finds
// none, next is where to go on, and missing how many bytes before next are no longer
// kept. It searches about 256 KiB at most, and less if that is much work. A line that has
// not ended is searched as it is, and again when it has grown.
func (s *Store) Find(p *Pattern, cursor int64) (found Line, ok bool, next, missing int64) {
	next = cursor
	work := 0
	for l := range s.lines(cursor, s.Total(), Both, false) {
		if l.missing > 0 {
			missing += l.missing
			continue
		}
		shown := lastState(l.text)
		match, cost := p.matches(shown)
		if match {
			l.number = s.number(l.at)
			return newLine(l, shown, true), true, l.at, 0
		}
		next = l.at
		if l.ended || len(l.text) == longLine {
			next = l.after()
		}
		if work += cost; work > findWork || next-cursor > scanBytes {
			break
		}
	}
	if next == cursor {
		next += missing // there was no line to look at
	}
	return Line{}, false, next, missing
}

func newLine(l line, shown []byte, match bool) Line {
	given := Line{Cursor: l.at, Number: l.number, Match: match}
	if Binary(l.text) {
		given.Text = fmt.Sprintf("[%d bytes that are not text]", len(l.text))
		return given
	}
	r := renderer{raw: true}
	r.lines(bytes.TrimSuffix(shown, []byte("\r")), false)
	given.Text = r.text()
	return given
}
