//go:build linux

package main

import (
	"go/ast"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"
)

// timed are the calls by which a test waits for a clock, spins, or takes the time.
var timed = map[string][]string{
	"time":    {"Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Since", "Until"},
	"context": {"WithTimeout", "WithTimeoutCause", "WithDeadline", "WithDeadlineCause"},
	"runtime": {"Gosched"},
}

// timedMethods are methods that give a connection a time.
var timedMethods = []string{"SetDeadline", "SetReadDeadline", "SetWriteDeadline"}

// TestHouseTestsWaitForEvents keeps clocks out of tests: a machine may be ten times slower,
// and busy. A line that needs one says why in a comment that begins with "clock:". What
// is measured is not excepted: package bench is there for that.
func TestHouseTestsWaitForEvents(t *testing.T) {
	source(t, func(name string, fset *token.FileSet, f *ast.File) {
		if !strings.HasSuffix(name, "_test.go") && !strings.HasPrefix(name, "proctest/") || strings.HasPrefix(name, "bench/") {
			return
		}
		excepted := map[int]bool{}
		for _, group := range f.Comments {
			for _, comment := range group.List {
				if strings.HasPrefix(comment.Text, "// clock: ") {
					excepted[fset.Position(comment.Pos()).Line] = true
				}
			}
		}
		report := func(at token.Pos, what string) {
			if p := fset.Position(at); !excepted[p.Line] {
				t.Errorf("%s: %s", p, what)
			}
		}
		for pkg, names := range timed {
			for _, at := range called(f, pkg, names...) {
				report(at, "a test waits for an event, not for a clock, and demands no time")
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if slices.Contains(timedMethods, n.Sel.Name) {
					report(n.Sel.Pos(), "a test gives its peer all the time that it needs")
				}
			case *ast.BasicLit:
				if n.Kind == token.STRING && strings.HasPrefix(n.Value[1:], os.TempDir()+"/") {
					report(n.Pos(), "a test has a folder of its own: t.TempDir")
				}
			}
			return true
		})
	})
}
