// Package proctest is what the tests of this tree share: a program that
// misbehaves on demand, and a check that a test left nothing behind.
//
// A test package calls [Main] from TestMain. Its own test binary, started with
// "child" as first argument, then is that program ([Child]).
package proctest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Main runs the tests and exits: see Run.
func Main(m *testing.M, around func(tests func() int) int) {
	if len(os.Args) > 1 && os.Args[1] == "child" {
		runChild(os.Args[2:])
		os.Exit(0)
	}
	os.Exit(Run(m, around))
}

// Run runs the tests, then fails if they left goroutines, descriptors or
// children behind. It returns the exit code. around, if it is not nil, is called
// with what runs the tests and returns its result: it does what a main function
// would.
func Run(m *testing.M, around func(tests func() int) int) int {
	if around == nil {
		around = func(tests func() int) int { return tests() }
	}
	before := descriptors()
	code := around(m.Run)
	if code == 0 {
		for _, leak := range leaks(before) {
			fmt.Fprintln(os.Stderr, "left behind:", leak)
			code = 1
		}
	}
	return code
}

// leaks gives what is on its way out three seconds to be gone.
func leaks(before map[string]bool) (found []string) {
	if err := goleak.Find(); err != nil {
		return []string{err.Error()}
	}
	for deadline := time.Now().Add(3 * time.Second); ; runtime.Gosched() {
		found = nil
		for d := range descriptors() {
			if !before[d] {
				found = append(found, "descriptor "+d)
			}
		}
		for _, pid := range children() {
			found = append(found, "child "+pid)
		}
		if len(found) == 0 || time.Now().After(deadline) {
			return found
		}
	}
}

// descriptors returns the open descriptors with what they lead to, but those of
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

// Child returns a shell command that runs this test binary as a program:
//
//	ignore-term      ignores SIGTERM, prints "ready", lives until killed
//	hold             leaves a descendant that holds the output and prints its pid; exits 3
//	hold-say FILE    like hold; the descendant prints "late" once FILE exists, and ends
//	leave            leaves a descendant in its group that holds no output; exits 0
//	flood BYTES      writes so many bytes of "x" lines, exits 0
//	half-rune        writes the first two of three bytes of "€", waits for a line of input, writes the third
//	fork N           starts N sleeping children, prints "ready", sleeps
//	headless         prints its pid and ends its main thread; the others go on
//	http             serves HTTP on a free port, prints its address, answers "hello"
//	env KEY…         prints each variable as KEY=value, or "KEY unset"
func Child(args ...string) string {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	words := []string{"exec", quote(exe), "child"}
	for _, a := range args {
		words = append(words, quote(a))
	}
	return strings.Join(words, " ")
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// Alive says that pid exists and is not a zombie.
func Alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
	return !strings.HasPrefix(after, "Z") && !strings.HasPrefix(after, "X")
}

// Within polls until ok holds and fails the test after half a minute. It is for
// what the kernel announces to nobody, such as the death of a process that is
// no child of ours.
func Within(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// Sleeper returns a command that sleeps, and a token by which [Sleepers] finds
// it whatever becomes of its environment, session and parents.
func Sleeper() (command, token string) {
	token = fmt.Sprintf("1000.%018d", rand.Uint64N(1e18))
	return "sleep " + token, token
}

// Sleepers returns the living processes of a token.
func Sleepers(token string) (pids []int) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, line := range lines {
		text, _ := os.ReadFile(line)
		if pid, _ := strconv.Atoi(strings.Split(line, "/")[2]); string(text) == "sleep\x00"+token+"\x00" && Alive(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}
