// Package proctest is what the tests of this tree share: a world of their own,
// a program that misbehaves on demand, ways to wait for an event, and a check
// that a test left nothing behind.
//
// A test package calls [Main] from TestMain. Its own test binary, started with
// "child" as first argument, then is that program ([Child]).
package proctest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Main gives the tests a world of their own, runs them, and exits: see Run.
func Main(m *testing.M, around func(tests func() int) int) {
	if len(os.Args) > 1 && os.Args[1] == "child" {
		runChild(os.Args[2:])
		os.Exit(0)
	}
	os.Exit(Run(m, around))
}

// Run runs the tests, then fails if they left goroutines, descriptors or
// children behind. It returns the exit code. around, if it is not nil, is called
// with a function that runs the tests, and returns the result of that function:
// it does what a main function would.
//
// The tests do not see how the test binary was started: see ownWorld.
func Run(m *testing.M, around func(tests func() int) int) int {
	if around == nil {
		around = func(tests func() int) int { return tests() }
	}
	began := time.Now()
	leave, err := ownWorld()
	if err != nil {
		fmt.Fprintln(os.Stderr, "no world of their own for the tests:", err)
		return 1
	}
	defer leave()
	before := descriptors()
	code := around(m.Run)
	if code == 0 {
		for _, leak := range leaks(before, began) {
			fmt.Fprintln(os.Stderr, "left behind:", leak)
			code = 1
		}
	}
	return code
}

// leaks returns what the tests left behind. What is on its way out has until the
// test binary's own deadline to be gone.
func leaks(before map[string]bool, began time.Time) (found []string) {
	var deadline time.Time
	if timeout, ok := flag.Lookup("test.timeout").Value.(flag.Getter).Get().(time.Duration); ok && timeout > 0 {
		deadline = began.Add(timeout - timeout/20)
	}
	checking, reported := time.Now(), false
	gone := poll(deadline, func() bool {
		found = nil
		if err := goleak.Find(); err != nil { // it tries for a while by itself
			found = append(found, err.Error())
		}
		for d := range descriptors() {
			if !before[d] {
				found = append(found, "descriptor "+d)
			}
		}
		for _, pid := range children() {
			found = append(found, "child "+pid)
		}
		if len(found) > 0 && !reported && time.Since(checking) > reportAfter { // clock: it is only told
			reported = true
			fmt.Fprintln(os.Stderr, "waiting for the end of:", strings.Join(found, "; "))
		}
		return len(found) == 0
	})
	if gone {
		return nil
	}
	return found
}

// reportAfter is when whoever watches is told what a test binary waits for.
const reportAfter = 3 * time.Second

// descriptors returns the open descriptors with what they lead to, except those of
// the runtime itself (the poller).
func descriptors() map[string]bool {
	open := map[string]bool{}
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || strings.HasPrefix(target, "anon_inode:[event") || strings.HasSuffix(target, "/fd") {
			continue
		}
		open[e.Name()+" -> "+target] = true
	}
	return open
}

func children() (pids []string) {
	lists, _ := filepath.Glob("/proc/self/task/*/children")
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		pids = append(pids, strings.Fields(string(text))...)
	}
	return pids
}
