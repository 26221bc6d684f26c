package output

import (
	"bytes"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// Readable returns text as a terminal shows it once it is written: without control
// sequences (ECMA-48), and of a line that was written over after a carriage return
// what was to be seen last.
func Readable(p []byte) []byte {
	if bytes.IndexByte(p, '\x1b') < 0 && bytes.IndexByte(p, '\r') < 0 {
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

// lastState is a line without control sequences, and as it was when it ended.
func lastState(line []byte) []byte {
	line = bytes.TrimRight(line, "\r")
	switch {
	case bytes.IndexByte(line, '\r') >= 0:
		return overwritten(line)
	case bytes.IndexByte(line, '\x1b') >= 0:
		return []byte(ansi.Strip(string(line)))
	}
	return line
}

// overwritten plays a line on a terminal that is wide enough.
func overwritten(line []byte) []byte {
	const tab = 8
	var cells [][]byte // what is in each column; nil is blank, or the rest of a wide one
	column := 0
	for len(line) > 0 {
		seq, width, n, _ := ansi.DecodeSequence(line, ansi.NormalState, nil)
		line = line[max(n, 1):]
		switch string(seq) {
		case "\r":
			column = 0
		case "\b":
			column = max(column-1, 0)
		case "\t":
			column = (column/tab + 1) * tab
		case "\x1b[K", "\x1b[0K": // to the end of the line
			cells = cells[:min(column, len(cells))]
		case "\x1b[2K": // the whole line
			cells = cells[:0]
		}
		if width == 0 {
			continue
		}
		for len(cells) < column+width {
			cells = append(cells, nil)
		}
		clear(cells[column : column+width])
		cells[column] = seq
		column += width
	}
	var out []byte
	for i := 0; i < len(cells); i++ {
		if cells[i] == nil {
			out = append(out, ' ')
			continue
		}
		out = append(out, cells[i]...)
		i += ansi.StringWidth(string(cells[i])) - 1
	}
	return bytes.TrimRight(out, " ")
}

// unfinished returns how many bytes at the end of p belong to a rune or a control
// sequence that may still become whole.
func unfinished(p []byte) int {
	const longest = 256 // of a sequence that is waited for
	tail := p[max(0, len(p)-longest):]
	if i := bytes.LastIndexByte(tail, '\x1b'); i >= 0 && !endsSequence(tail[i:]) {
		return len(tail) - i
	}
	return partialRune(p)
}

// endsSequence says that a text which begins with ESC holds a whole sequence.
func endsSequence(p []byte) bool {
	state := byte(ansi.NormalState)
	_, _, n, state := ansi.DecodeSequence(p, state, nil)
	return state == ansi.NormalState && n > 0 && !(n == 1 && len(p) == 1)
}

// Binary says that p is no text: it has a NUL, or more than a tenth of it is not
// UTF-8.
func Binary(p []byte) bool {
	if bytes.IndexByte(p, 0) >= 0 {
		return true
	}
	bad := 0
	for rest := p; len(rest) > 0; {
		if rest[0] < utf8.RuneSelf {
			rest = rest[1:]
			continue
		}
		r, n := utf8.DecodeRune(rest)
		if r == utf8.RuneError && n == 1 {
			bad++
		}
		rest = rest[n:]
	}
	return bad*10 > len(p)
}
