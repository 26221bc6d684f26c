package tools

import (
	"fmt"
	"strings"
)

// mostNotices is how many an answer holds.
const mostNotices = 5

// addNotices adds a line to an answer for each process that has ended and that no
// answer has reported yet.
func (c *Call) addNotices(a *answer) {
	list, more := c.processes().TakeNotices(mostNotices)
	if len(list) == 0 {
		return
	}
	var notices []string
	for _, p := range list {
		notices = append(notices, fmt.Sprintf("Process %s has %s: %s", p.ID, status(p), excerpt(p.Command)))
	}
	if more > 0 {
		notices = append(notices, fmt.Sprintf("%d more have ended; process_list with state ended shows them.", more))
	}
	a.data.SetNotices(notices)
	// They stand above the output of programs, which could write a notice of its own.
	a.text = "Notice: " + strings.Join(notices, "\nNotice: ") + "\n" + a.text
}
