package proctest

import (
	"testing"
	"time"
)

// The pauses of a poll: short at first, for what is about to happen, and never so
// short that looking takes the processor from what is awaited.
const (
	firstPause = time.Millisecond
	lastPause  = 20 * time.Millisecond
)

// poll asks until ok holds or the deadline has passed; the zero deadline never
// passes. It reports whether ok held.
func poll(deadline time.Time, ok func() bool) bool {
	for pause := firstPause; !ok(); pause = min(2*pause, lastPause) {
		if !deadline.IsZero() && time.Now().After(deadline) {
			return false
		}
		<-time.After(pause) // clock: a gentle poll
	}
	return true
}

// Await polls until ok holds. It is for what nobody announces, such as the state
// of a process in /proc. There is no bound of its own: a test that waits in vain
// fails shortly before the deadline of the test binary (go test -timeout).
func Await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	if !poll(deadline(t), ok) {
		t.Fatalf("waited in vain for this: %s", what)
	}
}

// Within is Await.
func Within(t testing.TB, what string, ok func() bool) {
	t.Helper()
	Await(t, what, ok)
}

// deadline is shortly before the test binary ends itself, so that a test can still
// say what it waits for and clean up; zero if there is none.
func deadline(t testing.TB) time.Time {
	d, ok := t.(interface{ Deadline() (time.Time, bool) })
	if !ok { // a benchmark
		return time.Time{}
	}
	at, ok := d.Deadline()
	if !ok {
		return time.Time{}
	}
	return at.Add(-time.Until(at) / 20) // clock: the test binary's own
}
