//go:build linux

package inspect

import (
	"os"
	"testing"
)

// A command may have any number of threads, and each poll any number of descriptors.
func TestLookForInputIsBounded(t *testing.T) {
	const most = 100
	l := look{Input: Input{pipe: "pipe:[1]"}, left: most, seen: map[descriptor]bool{}}
	for fd := range 10 * most {
		if l.is(os.Getpid(), fd) {
			t.Errorf("%d is a pipe that is not there", fd)
		}
	}
	if len(l.seen) != most || l.spend(taskCost) {
		t.Errorf("looked at %d descriptors, %d left", len(l.seen), l.left)
	}
}
