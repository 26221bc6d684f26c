package tools

import (
	"fmt"
	"strings"

	"github.com/proctor-mcp/proctor/procmgr"
)

// hiding is the error of a signal to a process of which nothing is known to be alive,
// although something may be.
type hiding struct {
	error
	note string
}

func (h *hiding) Unwrap() error { return h.error }

// noteReach adds what is known of processes that a kill may have missed. from says where
// they may come from. It reports whether there are some.
func (c *Call) noteReach(s procmgr.Strays, from string) bool {
	if c.t.manager.Disarmed() {
		c.note("Somebody has lowered limits of the server (RLIMIT_LOCKS, RLIMIT_RTTIME), so it cannot mark any more what commands start: what hides may outlive a kill, though not the server. To mend that, the server must be restarted.")
	}
	if s.None() {
		return false
	}
	c.note("%s", strayWords(s, from))
	return true
}

// strayWords names processes that nothing leads to.
func strayWords(s procmgr.Strays, from string) string {
	const most = 8
	var words []string
	for _, m := range s.Members[:min(len(s.Members), most)] {
		words = append(words, fmt.Sprintf("pid %d, %s, state %s", m.Pid, excerpt(m.Command), m.State))
	}
	if more := len(s.Members) - most; more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	if s.Others > 0 {
		words = append(words, fmt.Sprintf("%s of this chat or another", processes(s.Others)))
	}
	return fmt.Sprintf("Something is alive that may come from %s, although nothing shows it: %s. It ends when everything that it may come from was killed, at the latest with the server.", from, strings.Join(words, "; "))
}
