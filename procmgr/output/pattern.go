package output

import (
	"bytes"
	"fmt"
	"regexp"
	"regexp/syntax"
	"unicode/utf8"
)

const (
	// MaxPatternBytes is the longest pattern.
	MaxPatternBytes = 1000
	// maxPatternSize bounds what a pattern is compiled to: a{1000} counts 1,000.
	maxPatternSize = 20_000
)

// Pattern is a regular expression (RE2, see regexp/syntax) that lines are looked
// through for.
type Pattern struct {
	re *regexp.Regexp
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
	if size(tree) > maxPatternSize {
		return nil, fmt.Errorf("its repetitions are too large")
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	return &Pattern{re, []byte(literalOf(tree.Simplify()))}, nil
}

// matches says that the pattern is in a line, and how many bytes the expression
// was given.
func (p *Pattern) matches(line []byte) (match bool, work int) {
	if !bytes.Contains(line, p.literal) {
		return false, 0
	}
	return p.re.Match(line), len(line)
}

// size is about how many instructions an expression becomes.
func size(re *syntax.Regexp) (n int) {
	for _, sub := range re.Sub {
		n += size(sub)
	}
	n += 1 + len(re.Rune)
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
