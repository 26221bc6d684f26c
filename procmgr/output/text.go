package output

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi/parser"
	"golang.org/x/text/width"
)

// Readable returns text as a terminal shows it in the end: without control sequences
// (ECMA-48), and each line that was written over, after a carriage return or a
// backspace, in its last state.
func Readable(p []byte) []byte {
	if !redrawn(p) {
		return p
	}
	out := make([]byte, 0, len(p))
	for line := range bytes.Lines(p) {
		body, ended := bytes.CutSuffix(line, []byte("\n"))
		out = append(out, lastState(body)...)
		if ended {
			out = append(out, '\n')
		}
	}
	return out
}

// redrawn reports whether a terminal shows p otherwise than as it is.
func redrawn(p []byte) bool { return bytes.IndexByte(p, '\x1b') >= 0 || writtenOver(p) }

func writtenOver(p []byte) bool {
	return bytes.IndexByte(p, '\r') >= 0 || bytes.IndexByte(p, '\b') >= 0
}

// lastState returns a line without control sequences, in its last state.
func lastState(line []byte) []byte {
	line = bytes.TrimRight(line, "\r")
	over := writtenOver(line)
	if !over && bytes.IndexByte(line, '\x1b') < 0 {
		return line
	}
	var shown []byte
	screen := row{most: len(line) + 1024}
	for len(line) > 0 {
		n, text := token(line)
		switch {
		case over:
			screen.write(line[:n], text)
		case text:
			shown = append(shown, line[:n]...)
		}
		line = line[n:]
	}
	if over {
		return screen.text()
	}
	return shown
}

// token returns the size of what p begins with, and whether that is text: a control
// sequence, or else one character or a byte that is not UTF-8.
func token(p []byte) (n int, text bool) {
	if p[0] == '\x1b' {
		n, _ = sequence(p)
		return n, false
	}
	_, n = utf8.DecodeRune(p)
	return n, true
}

// sequence returns the size of the control sequence that p begins with, and whether
// all of it is there.
func sequence(p []byte) (n int, whole bool) {
	state := byte(parser.GroundState)
	for i, b := range p {
		if b >= utf8.RuneSelf { // in a title, for instance: the table takes it for an 8-bit control
			continue
		}
		if state, _ = parser.Table.Transition(state, b); state == parser.GroundState {
			return i + 1, true
		}
	}
	return len(p), false
}

// row is a line of a terminal that is wide enough.
type row struct {
	most   int      // columns at most, since a tab takes many
	cells  [][]byte // the character in each column; nil is a blank, or the second half of a wide character
	column int      // of the cursor
}

func (r *row) write(token []byte, text bool) {
	const tab = 8
	switch string(token) {
	case "\r":
		r.column = 0
		return
	case "\b":
		r.column = max(r.column-1, 0)
		return
	case "\t":
		r.column = min((r.column/tab+1)*tab, r.most)
		return
	case "\x1b[K", "\x1b[0K": // to the end of the line
		r.cells = r.cells[:min(r.column, len(r.cells))]
		return
	case "\x1b[2K": // the whole line
		r.cells = r.cells[:0]
		return
	}
	columns := columnsOf(token)
	if !text || columns == 0 || r.column+columns > r.most {
		return
	}
	for len(r.cells) < r.column+columns {
		r.cells = append(r.cells, nil)
	}
	clear(r.cells[r.column : r.column+columns])
	r.cells[r.column] = token
	r.column += columns
}

func (r *row) text() (out []byte) {
	for i := 0; i < len(r.cells); i++ {
		if r.cells[i] == nil {
			out = append(out, ' ')
			continue
		}
		out = append(out, r.cells[i]...)
		i += columnsOf(r.cells[i]) - 1
	}
	return bytes.TrimRight(out, " ")
}

// columnsOf returns how many columns a character takes (UAX #11).
func columnsOf(token []byte) int {
	c, _ := utf8.DecodeRune(token)
	switch {
	case unicode.IsControl(c) || unicode.In(c, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case c < utf8.RuneSelf:
		return 1
	}
	switch width.LookupRune(c).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// unfinished returns how many bytes at the end of p belong to a rune or a control
// sequence that may still become whole.
func unfinished(p []byte) int {
	const longest = 256 // bytes of a control sequence that is waited for
	tail := p[max(0, len(p)-longest):]
	for begin := bytes.IndexByte(tail, '\x1b'); begin >= 0; begin = bytes.IndexByte(tail, '\x1b') {
		tail = tail[begin:]
		n, whole := sequence(tail)
		if !whole {
			return len(tail)
		}
		tail = tail[n:]
	}
	return partialRune(p)
}

// partialRune returns how many bytes at the end of p begin a rune that may still
// become whole: 0 to 3.
func partialRune(p []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		if tail := p[len(p)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}

// continuation returns how many bytes at the start of p belong to a rune that
// began before it: 0 to 3.
func continuation(p []byte) int {
	n := 0
	for n < min(utf8.UTFMax-1, len(p)) && !utf8.RuneStart(p[n]) {
		n++
	}
	return n
}

// Binary reports whether p is not text: it has a NUL byte, or more than a tenth of it is
// not UTF-8.
func Binary(p []byte) bool {
	if bytes.IndexByte(p, 0) >= 0 {
		return true
	}
	if utf8.Valid(p) {
		return false
	}
	bad := 0
	for rest := p; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		if r == utf8.RuneError && n == 1 {
			bad++
		}
		rest = rest[n:]
	}
	return bad*10 > len(p)
}
