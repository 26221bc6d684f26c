package output

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"unicode/utf8"
)

const (
	// MaxPatternBytes is the longest pattern.
	MaxPatternBytes = 1000
	// maxPatternSize bounds the instructions that a pattern is compiled to: a{1000} has
	// about 1,000. Each can cost some 4 ns for each byte.
	maxPatternSize = 2000
)

// Pattern is a regular expression (RE2, see regexp/syntax) to search lines with.
type Pattern struct {
	re   *regexp.Regexp
	size int // about how many instructions it has
	// literal is a text that every matching line contains; empty if there is none. To
	// look for it is a hundred times as fast.
	literal []byte
}

// CompilePattern returns a pattern, or an error that says what is wrong with the text.
func CompilePattern(text string, ignoreCase bool) (*Pattern, error) {
	if len(text) > MaxPatternBytes {
		return nil, fmt.Errorf("%d bytes, at most %d are allowed", len(text), MaxPatternBytes)
	}
	flags := syntax.Perl
	if ignoreCase {
		flags |= syntax.FoldCase
		text = "(?i:" + text + ")"
	}
	tree, err := syntax.Parse(text, flags)
	if err != nil {
		return nil, err
	}
	size := sizeOf(tree)
	if size > maxPatternSize {
		return nil, errors.New("its repetitions are too large")
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	return &Pattern{re, size, []byte(literalOf(tree.Simplify()))}, nil
}

// matches reports whether a line matches, and how much work it was at most to find out,
// in bytes times instructions.
func (p *Pattern) matches(line []byte) (match bool, work int) {
	if !bytes.Contains(line, p.literal) {
		return false, 0
	}
	return p.re.Match(line), len(line) * p.size
}

// sizeOf returns about how many instructions an expression is compiled to.
func sizeOf(re *syntax.Regexp) (n int) {
	for _, sub := range re.Sub {
		n += sizeOf(sub)
	}
	n++
	if re.Op == syntax.OpLiteral {
		n += len(re.Rune)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1)
	}
	return min(n, 1<<30)
}

// literalOf returns the longest text that every match of an expression contains.
func literalOf(re *syntax.Regexp) (longest string) {
	switch re.Op {
	case syntax.OpLiteral:
		// The expression takes any byte that is not UTF-8 for U+FFFD.
		if re.Flags&syntax.FoldCase == 0 && !slices.Contains(re.Rune, utf8.RuneError) {
			return string(re.Rune)
		}
	case syntax.OpCapture, syntax.OpPlus:
		return literalOf(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return literalOf(re.Sub[0])
		}
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if text := literalOf(sub); len(text) > len(longest) {
				longest = text
			}
		}
	}
	return longest
}
