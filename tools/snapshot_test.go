//go:build linux

package tools

import (
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/quartz"

	"github.com/proctor-mcp/proctor/procmgr"
)

// snapshots counts snapshots by their look at the clock: one for all of a list.
type snapshots struct {
	quartz.Clock
	taken atomic.Int64
}

func (s *snapshots) Now(tags ...string) time.Time {
	if slices.Contains(tags, "snapshot") {
		s.taken.Add(1)
	}
	return s.Clock.Now(tags...)
}

// Each answer is made from one snapshot of what it shows.
func TestOneSnapshotForEachAnswer(t *testing.T) {
	clock := &snapshots{Clock: quartz.NewReal()}
	a := newAgentWith(t, io.Discard, procmgr.Options{Clock: clock})
	count := func(what string, want int64, call func()) {
		t.Helper()
		before := clock.taken.Load()
		call()
		if n := clock.taken.Load() - before; n != want {
			t.Errorf("%s: %d snapshots, want %d", what, n, want)
		}
	}
	var first, second, terminal string
	count("process_start", 1, func() { first = a.call("process_start", `{"command":"sleep 1000 & echo x"}`).ProcessID })
	count("process_start in the background", 1, func() {
		second = a.call("process_start", `{"command":"exec sleep 1000","background":true}`).ProcessID
	})
	count("process_start with a terminal", 1, func() {
		terminal = a.call("process_start", `{"command":"exec cat","background":true,"tty":{"rows":24,"cols":80}}`).ProcessID
	})
	id := fmt.Sprintf(`{"process_id":%q`, first)
	for _, more := range []string{`}`, `,"cursor":0}`, `,"tail_lines":1}`, `,"search":{"pattern":"x"}}`, `,"wait_for":{"output_matches":"x"}}`} {
		count("process_output "+more, 1, func() { a.call("process_output", id+more) })
	}
	count("process_input", 1, func() {
		a.call("process_input", fmt.Sprintf(`{"process_id":%q,"text":"y\n","wait_for":{"output_matches":"y"}}`, terminal))
	})
	count("process_wait", 1, func() {
		a.call("process_wait", fmt.Sprintf(`{"process_ids":[%q,%q],"wait_for":{"new_output":true},"wait_ms":0}`, first, second))
	})
	count("process_list", 1, func() { a.call("process_list", `{"usage":true}`) })
	count("process_signal", 1, func() { a.call("process_signal", id+`,"signal":"kill"}`) })
	count("process_signal to all", 2, func() { a.call("process_signal", `{"all":true,"signal":"kill"}`) })
}
