package output

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"unicode/utf8"
)

const (
	// MaxPatternBytes is the longest pattern.
	MaxPatternBytes = 1000
	// maxPatternSize bounds what a pattern is compiled to: a{1000} counts 1,000. A
	// byte can cost some 4 ns for each.
	maxPatternSize = 2000
)

// Pattern is a regular expression (RE2, see regexp/syntax) that lines are looked
// through for.
type Pattern struct {
	re   *regexp.Regexp
	size int
	// literal is in every line that matches: to look for it is a hundred times as
	// fast. Empty if there is none.
	literal []byte
}

// CompilePattern returns a pattern. The error says what is wrong with it.
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

// matches says that the pattern is in a line, and how much work it was at most to
// say so: a byte given to one instruction is one.
func (p *Pattern) matches(line []byte) (match bool, work int) {
	if !bytes.Contains(line, p.literal) {
		return false, 0
	}
	return p.re.Match(line), len(line) * p.size
}

// sizeOf is about how many instructions an expression becomes.
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

// literalOf returns the longest text that every match of an expression holds.
func literalOf(re *syntax.Regexp) (longest string) {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase == 0 && !containsError(re.Rune) {
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

// containsError: the expression takes any byte that is not UTF-8 for U+FFFD.
func containsError(runes []rune) bool {
	for _, r := range runes {
		if r == utf8.RuneError {
			return true
		}
	}
	return false
}
