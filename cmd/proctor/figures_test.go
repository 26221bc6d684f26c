//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	goconstant "go/constant"
	"go/printer"
	"go/token"
	"go/types"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// constants returns every numeric constant of the tree that stands at the top of a
// file, by its package's folder and its name: "transport.MaxBodyBytes". A duration
// is in nanoseconds.
func constants(t *testing.T) map[string]int64 {
	t.Helper()
	exprs := map[string]string{}
	source(t, func(name string, fset *token.FileSet, f *ast.File) {
		if strings.HasSuffix(name, "_test.go") {
			return
		}
		for _, decl := range f.Decls {
			d, ok := decl.(*ast.GenDecl)
			if !ok || d.Tok != token.CONST {
				continue
			}
			for _, spec := range d.Specs {
				for i, value := range spec.(*ast.ValueSpec).Values {
					var b strings.Builder
					if err := printer.Fprint(&b, fset, value); err != nil {
						t.Fatal(err)
					}
					exprs[filepath.Dir(name)+"."+spec.(*ast.ValueSpec).Names[i].Name] = b.String()
				}
			}
		}
	})
	units := map[string]time.Duration{"Nanosecond": time.Nanosecond, "Microsecond": time.Microsecond, "Millisecond": time.Millisecond, "Second": time.Second, "Minute": time.Minute, "Hour": time.Hour}
	busy := map[string]bool{}
	var value func(name string) (int64, bool)
	value = func(name string) (int64, bool) {
		expr, ok := exprs[name]
		if !ok {
			return 0, false
		}
		if busy[name] {
			return 0, false // it is made of itself: another of this name on another system
		}
		busy[name] = true
		defer delete(busy, name)
		dir, _, _ := strings.Cut(name, ".")
		expr = regexp.MustCompile(`time\.(\w+)`).ReplaceAllStringFunc(expr, func(unit string) string {
			return fmt.Sprint(int64(units[strings.TrimPrefix(unit, "time.")]))
		})
		if regexp.MustCompile(`\w\.[A-Za-z]`).MatchString(expr) {
			return 0, false // it is another package's, and found there
		}
		expr = regexp.MustCompile(`\b[A-Za-z]\w*\b`).ReplaceAllStringFunc(expr, func(other string) string {
			if n, ok := value(dir + "." + other); ok {
				return fmt.Sprint(n)
			}
			return other
		})
		result, err := types.Eval(token.NewFileSet(), nil, token.NoPos, expr)
		if err != nil || result.Value == nil {
			return 0, false // not a number
		}
		return goconstant.Int64Val(goconstant.ToInt(result.Value))
	}
	found := map[string]int64{}
	for name := range exprs {
		if n, ok := value(name); ok {
			found[name] = n
		}
	}
	return found
}

// The ways in which a figure is written.
func number(n int64) string { return count(json.Number(fmt.Sprint(n))) }

func size(n int64) string {
	for _, unit := range []struct {
		name  string
		bytes int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n%unit.bytes == 0 {
			return fmt.Sprintf("%d %s", n/unit.bytes, unit.name)
		}
	}
	return number(n) + " bytes"
}

func duration(n int64) string {
	switch d := time.Duration(n); {
	case d == time.Hour:
		return "1 hour"
	case d > time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d > time.Minute:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	case d < time.Second && d%(100*time.Millisecond) != 0 || d == 100*time.Millisecond:
		return fmt.Sprintf("%d ms", d/time.Millisecond)
	default:
		return fmt.Sprintf("%v s", d.Seconds())
	}
}

func seconds(n int64) string { return fmt.Sprintf("%v s", time.Duration(n).Seconds()) }

// tail is what is kept of an output behind its head of 1 MiB.
func tail(n int64) string { return size(n - 1<<20) }

// figure is a number in the documentation that comes from the code.
type figure struct {
	text  string             // "%s" stands for the number
	write func(int64) string // how it is written
	name  string             // of the constant; with its package where others have the same
}

// figures returns what the pages say, in their order.
func figures() map[string][]figure {
	return map[string][]figure{
		"README.md": {
			{"the first and the last %s of the output", size, "ViewHead"},
			{"keeps %s", size, "output.DefaultMax"},
			{"still runs after %s", duration, "tools.defaultWait"},
			{"the first and the last %s, or a part", size, "ViewTail"},
		},
		"docs/tools.md": {
			{"1 to %s bytes without NUL", number, "MaxCommandBytes"},
			{"up to %s, then end of file", size, "MaxStdinBytes"},
			{"1 to %s bytes |", number, "MaxRequestIDBytes"},
			{"silent for %s |", duration, "inputIdle"},
			{"last %s lines of each", number, "lastLines"},
			{"of each, %s in all", size, "lastText"},
			{"waits for %s at most", duration, "longestSilentWait"},
			{"may wait for %s,", seconds, "schemas.wait_ms"},
			{"every %s](", duration, "progressEvery"},
			{"at most %s bytes |", number, "LineBytes"},
			{"at most %s |", number, "mostNotices"},
			{"first and the last %s of stdout", size, "ViewTail"},
			{"Lines over %s bytes", number, "LineBytes"},
			{"the first %s and the last", size, "HeadBytes"},
			{"the last %s of each", tail, "DefaultMax"},
			{"Up to %s are in memory", size, "output.MemoryBytes"},
			{"in the last %s of the output", size, "tailBytes"},
			{"gives about %s at most", size, "tailText"},
			{"after about %s of text", size, "searchText"},
			{"comes %s later", duration, "DrainTime"},
			{"at most %s bytes.", number, "maxLine"},
			{"the first %s and", size, "screen.headBytes"},
			{"the last %s, for", size, "replayBytes"},
			{"for %s at most.", duration, "replayTime"},
			{"silent for %s.", duration, "likelyIdle"},
			{"known for %s", duration, "RequestTTL"},
			{"its output, %s after", duration, "DefaultForgetAfter"},
			{"or %s after the end", duration, "MaxKeep"},
			{"more than %s ended", number, "DefaultKeepFinished"},
			{"the first and the last %s |", size, "ViewTail"},
		},
		"docs/limits.md": {
			{"| a command | %s bytes, no NUL |", number, "MaxCommandBytes"},
			{"name included | %s bytes |", number, "MaxEnvBytes"},
			{"one call | %s |", size, "MaxInputBytes"},
			{"| %s rows", number, "MaxRows"},
			{", %s columns", number, "MaxCols"},
			{"; %s bytes of a line", number, "maxLine"},
			{"`request_id` | %s bytes", number, "MaxRequestIDBytes"},
			{"a chat id | %s bytes", number, "MaxChatIDBytes"},
			{"of a chat | %s, each", number, "MaxRequestIDs"},
			{"known for %s", duration, "RequestTTL"},
			{"a pattern | %s bytes", number, "MaxPatternBytes"},
			{"about %s instructions", number, "maxPatternSize"},
			{"Lines over %s", size, "longLine"},
			{"wait of a call | %s;", duration, "longestSilentWait"},
			{"; %s with a progress token", seconds, "schemas.wait_ms"},
			{"`grace_ms`, `--grace` | %s |", seconds, "schemas.grace_ms"},
			{"| %s on stdio", size, "MaxLineBytes"},
			{", %s over HTTP", size, "MaxBodyBytes"},
			{"wait for their turn | %s", size, "maxBacklogBytes"},
			{"`_meta` of a message | %s", size, "maxMetaBytes"},
			{"object of a message | %s", number, "maxMembers"},
			{"HTTP request | %s, within", size, "maxHeaderBytes"},
			{"within %s |", duration, "headerTime"},
			{"a body that stands still | %s", duration, "bodyIdleTime"},
			{"a body in all | %s", duration, "bodyTime"},
			{"requests over %s at a time", size, "smallBytes"},
			{"at a time | %s; one more", number, "largeRequests"},
			{"the first %s and the last", size, "HeadBytes"},
			{"the last %s (`--output-max`)", tail, "DefaultMax"},
			{"up to %s in memory", size, "output.MemoryBytes"},
			{"the first and the last %s,", size, "ringBytes"},
			{"all processes | %s (", size, "defaultOutputTotal"},
			{"`), %s of it in memory", size, "defaultOutputMemory"},
			{"kept | %s ended ones", number, "DefaultKeepFinished"},
			{"for %s (`--forget-after`)", duration, "DefaultForgetAfter"},
			{"or %s if no answer", duration, "MaxKeep"},
			{"holds open | %s |", duration, "DrainTime"},
			{"is below %s, `stdio`", number, "lowBound"},
			{"up to %s threads", number, "mostThreads"},
			{"fewer than %s.", number, "roomForThreads"},
		},
		"docs/chats.md":        {{"is 1 to %s characters", number, "MaxChatIDBytes"}},
		"docs/kill-domains.md": {{"hunts it for %s;", duration, "spawn.killTime"}, {"more than %s commands", number, "mostForSiblings"}},
		"docs/transports.md": {
			{"Proctor reports every %s", duration, "progressEvery"},
			{"at least %s visible", number, "MinTokenBytes"},
			{"for more than %s.", seconds, "schemas.wait_ms"},
			{"a body over %s |", size, "MaxBodyBytes"},
			{"more than %s requests", number, "largeRequests"},
			{"requests over %s at", size, "smallBytes"},
			{"more than %s, a body", duration, "headerTime"},
			{"still for %s |", duration, "bodyIdleTime"},
			{"takes more than %s |", duration, "bodyTime"},
		},
		"docs/flags.md": {
			{"at most `%s` |", func(n int64) string { return fmt.Sprintf("%dh", time.Duration(n)/time.Hour) }, "MaxKeep"},
			{"at most `%s` |", func(n int64) string { return fmt.Sprintf("%dm", time.Duration(n)/time.Minute) }, "maxGrace"},
			{"its first %s and", size, "HeadBytes"},
			{"more than %s of a process", size, "output.MemoryBytes"},
		},
	}
}

// proved are numbers that a test of the behaviour holds.
func proved() map[string]string {
	return map[string]string{
		"the last 64 (a quarter of a limit below 256)":         "TestDescriptorsAreKeptBack",
		"none of the last 32 (an eighth of a limit below 256)": "TestConnectionsLeaveDescriptors",
		"32 hex digits": "TestResolve",
	}
}

// noFigure is what has digits and is no figure: names, addresses, versions, codes,
// and what other tests compare.
func noFigure() *regexp.Regexp {
	return regexp.MustCompile(strings.Join([]string{
		"(?s)```.*?```", "`[^`\n]*`", // code
		`\]\([^)]*\)`, `(?m)^\d+\. `, // addresses, numbers of lists
		`RFC \d+`, `UTF-8`, `SHA-256`, `RE2`, `JSON-RPC`, `\d{4}-\d\d-\d\d`, `Go 1\.26`, `Node 20`, `Linux 5\.14`, `[23]xx`, `4\d\d`, `503`, `cgroup v2`, `1024 is`, `\b1 to`, `(?m)^\| [012] \|`, `(?m)0 is (no|as)`, `mode 0[67]00`,
		`v[12],`, `with\s0`, `exit code \d`, `libc6|python3|-x86`, `code \d+`, `rule [23]`,
	}, "|"))
}

// TestDocFigures compares the numbers in the documentation with the constants of the
// code. A number that it does not know fails the test as well.
func TestDocFigures(t *testing.T) {
	all := constants(t)
	for name, tool := range map[string]string{"wait_ms": "process_start", "grace_ms": "process_signal"} {
		most, err := schema(t, tool, "input").Properties[name].Maximum.Int64()
		if err != nil {
			t.Fatal(err)
		}
		all["schemas."+name] = most * int64(time.Millisecond)
	}
	tests := map[string]bool{}
	source(t, func(_ string, _ *token.FileSet, f *ast.File) {
		for _, decl := range f.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok {
				tests[d.Name.Name] = true
			}
		}
	})
	for words, test := range proved() {
		if !tests[test] {
			t.Errorf("%q was proved by %s, which is gone", words, test)
		}
	}
	find := func(name string) (n int64, ok bool) {
		for known, value := range all {
			if strings.HasSuffix("/"+known, "/"+name) || strings.HasSuffix(known, "."+name) {
				if ok {
					t.Errorf("two constants are called %s", name)
				}
				n, ok = value, true
			}
		}
		return n, ok
	}
	for page, list := range figures() {
		// A sentence goes on in the next line.
		text := regexp.MustCompile(`\n(?: +|([A-Za-z(\x60"]))`).ReplaceAllString(document(t, page), " $1")
		for _, f := range list {
			n, ok := find(f.name)
			if !ok {
				t.Errorf("%s: there is no constant %s", page, f.name)
				continue
			}
			want := strings.ReplaceAll(f.text, "%s", f.write(n))
			if !strings.Contains(text, want) {
				t.Errorf("%s must have %q (%s)", page, want, f.name)
			}
			text = strings.Replace(text, want, strings.ReplaceAll(f.text, "%s", "#"), 1)
		}
		for words := range proved() {
			text = strings.ReplaceAll(text, words, "")
		}
		// Rows of arguments, flags and fields are compared by other tests.
		text = regexp.MustCompile("(?m)^\\| `.*").ReplaceAllString(text, "")
		for line := range strings.Lines(noFigure().ReplaceAllString(text, "")) {
			if strings.ContainsAny(line, "0123456789") {
				t.Errorf("%s has a number that is not compared with the code: %s", page, line)
			}
		}
	}
}
