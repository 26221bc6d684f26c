package tools

import (
	"fmt"
	"strings"
	"unicode"
)

// excerpt returns the first 80 bytes of what came from outside, as one line.
func excerpt(s string) string {
	const most = 80
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return OneLine(s)
}

// OneLine returns what came from outside in a form that stays one line of an answer:
// valid UTF-8, with nothing that a reader takes for the end of a line or that changes
// the direction of the text. A command could otherwise end with a line that looks as if
// the server had written it.
func OneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || breaksLine(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// asLine returns a line of output as one line of an answer: whole, with tabs and
// colours, but with nothing else that [OneLine] replaces.
func asLine(s string) string {
	return strings.Map(func(r rune) rune {
		if breaksLine(r) {
			return ' '
		}
		return r
	}, s)
}

// breaksLine reports whether r ends a line for some readers (Unicode Standard Annex
// 14, the classes BK, CR, LF and NL; and what Python's splitlines adds), or changes the
// direction of the text (Annex 9, Bidi_Control).
func breaksLine(r rune) bool {
	switch r {
	case '\n', '\v', '\f', '\r', '\x1c', '\x1d', '\x1e', '\u0085', '\u2028', '\u2029':
		return true
	}
	return unicode.Is(unicode.Bidi_Control, r)
}

// quoteShort returns the beginning of a value in quotes, as one line.
func quoteShort(v any) string { return fmt.Sprintf("%.60q", fmt.Sprint(v)) }
