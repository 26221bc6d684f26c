//go:build linux

package spawn

import (
	"fmt"
	"strings"
	"testing"

	"github.com/proctor-mcp/proctor/proctest"
)

// streams returns what came of each so far.
func (r *run) streams() (out, err string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.String(), r.err.String()
}

func split(t *testing.T, command string) *run {
	t.Helper()
	return start(t, Command{Argv: []string{"sh", "-c", command}, Split: true})
}

func TestSplitStreamsAreWholeAndTagged(t *testing.T) {
	r := split(t, `i=0; while [ $i -lt 2000 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done; exit 3`)
	if e := <-r.exit; e.Code != 3 {
		t.Errorf("got %+v", e)
	}
	var out, err strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&out, "out %d\n", i)
		fmt.Fprintf(&err, "err %d\n", i)
	}
	if gotOut, gotErr := r.streams(); gotOut != out.String() || gotErr != err.String() {
		t.Errorf("got %d and %d bytes", len(gotOut), len(gotErr))
	}
	<-r.closed
}

// What was written to either stream is there when the exit is announced.
func TestSplitLosesNothingAtTheExit(t *testing.T) {
	for range 200 {
		r := split(t, `printf a; printf b >&2; printf c; printf d >&2`)
		<-r.exit
		if out, err := r.streams(); out != "ac" || err != "bd" {
			t.Fatalf("got %q and %q", out, err)
		}
	}
}

// A descendant that holds one of them delays the exit by the time for draining, and
// what it writes later comes.
func TestSplitWithADescendantOnOne(t *testing.T) {
	gate := t.TempDir() + "/gate"
	r := split(t, `mkfifo `+gate+`; (exec >&-; read x < `+gate+`; echo late >&2) & echo now; echo soon >&2`)
	<-r.exit
	if out, err := r.streams(); out != "now\n" || err != "soon\n" {
		t.Errorf("got %q and %q", out, err)
	}
	select {
	case <-r.closed:
		t.Error("the output counts as closed while stderr is held")
	default:
	}
	opened := start(t, Command{Argv: []string{"sh", "-c", "echo go > " + gate}})
	<-opened.exit
	<-r.closed
	if _, err := r.streams(); err != "soon\nlate\n" {
		t.Errorf("got %q", err)
	}
}

// One is closed while the other goes on, and floods: single lines come through.
func TestSplitStreamsDoNotHinderEachOther(t *testing.T) {
	r := split(t, `echo one >&2; (exec 2>&-; exec cat /dev/zero) & exec >&-; echo two >&2; exec sleep 100`)
	proctest.Within(t, "both lines beside the flood", func() bool {
		out, err := r.streams()
		return err == "one\ntwo\n" && len(out) >= 1<<20
	})
}
