package output

import (
	"bytes"
	"strings"
)

// Search says what to look for in the lines of a stream.
type Search struct {
	Pattern *Pattern
	Filter  Filter
	Cursor  int64 // where to begin
	// Before and After are how many lines around a match are given as well.
	Before, After int
	MaxMatches    int // at least 1
	// Raw leaves control sequences and what was written over in the lines.
	Raw bool
	// Pause, if there is one, is called now and then, for others to work.
	Pause func()
}

// Line is one that a search gives.
type Line struct {
	Text   string // valid UTF-8, cut at LineBytes
	Cursor int64  // offset of its first byte
	Number int64  // counted from 1, 0 if it is not known
	Match  bool   // else it stands around one
}

// Found is what a search gives.
type Found struct {
	Lines   []Line
	Matches int
	// Next is where to go on. Done says that all there is was looked through; else
	// the search has found MaxMatches, or has done as much as one may.
	Next int64
	Done bool
}

const (
	// searchWork is how many bytes a search gives to the regular expression: what
	// it cannot rule out by a literal.
	searchWork = 8 << 20
	// searchText is about how much text a search gives.
	searchText = 32 << 10
)

// Search looks through the lines of a stream. Lines over 64 KiB are looked through
// in pieces.
func (s *Store) Search(q Search) Found {
	found := Found{Next: max(q.Cursor, 0)}
	var before []Line // the last ones, not given yet
	after, work, text := 0, 0, 0
	give := func(l Line) {
		found.Lines = append(found.Lines, l)
		text += len(l.Text)
	}
	for l := range s.lines(q.Cursor, q.Filter, q.Pause) {
		full := found.Matches == q.MaxMatches || text > searchText || work > searchWork
		if full && after == 0 {
			found.Next = l.at
			return found
		}
		shown := l.text
		if !q.Raw && (bytes.IndexByte(shown, '\x1b') >= 0 || bytes.IndexByte(shown, '\r') >= 0) {
			shown = lastState(shown)
		}
		match, cost := false, 0
		if !full {
			match, cost = q.Pattern.matches(shown)
			work += cost
		}
		switch {
		case match:
			for _, b := range before {
				give(b)
			}
			before = before[:0]
			found.Matches++
			after = q.After
			give(newLine(l, shown, true))
		case after > 0:
			after--
			give(newLine(l, shown, false))
		case q.Before > 0:
			if len(before) == q.Before {
				before = before[:copy(before, before[1:])]
			}
			before = append(before, newLine(l, shown, false))
		}
		found.Next = l.at + int64(len(l.text))
		if l.ended {
			found.Next++
		}
	}
	found.Done = true
	return found
}

// Find returns the first line from a cursor on that a pattern matches, and says
// where to go on if there is none so far. It looks through some 256 KiB at most. A
// line that has not ended is looked at as it is, and again when there is more of it.
func (s *Store) Find(p *Pattern, cursor int64, raw bool) (found Line, ok bool, next int64) {
	next = cursor
	for l := range s.uncounted(cursor) {
		shown := l.text
		if !raw {
			shown = lastState(shown)
		}
		if match, _ := p.matches(shown); match {
			l.number = s.number(l.at)
			return newLine(l, shown, true), true, l.at
		}
		next = l.at
		if l.ended {
			next++
		}
		if l.ended || len(l.text) == longLine {
			next += int64(len(l.text))
		}
		if next-cursor > scanBytes {
			break
		}
	}
	return Line{}, false, next
}

func newLine(l line, shown []byte, match bool) Line {
	return Line{Text: cutLine(shown), Cursor: l.at, Number: l.number, Match: match}
}

// cutLine returns a line as text for a reader.
func cutLine(shown []byte) string {
	r := renderer{raw: true}
	r.lines(bytes.TrimSuffix(shown, []byte("\r")), false)
	return strings.TrimSuffix(r.text(), "\n")
}
