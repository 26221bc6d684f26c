package tools

import (
	"fmt"
	"strings"
)

// mostNotices is how many an answer holds.
const mostNotices = 5

// notice adds to an answer what has ended and was never told.
func (t *Tools) notice(c *call, a *answer) {
	list, more := t.manager.Notices(c.Scope, mostNotices)
	if len(list) == 0 {
		return
	}
	var notices []string
	for _, p := range list {
		notices = append(notices, fmt.Sprintf("Process %s has %s: %s", p.ID, status(p), clip(p.Command)))
	}
	if more > 0 {
		notices = append(notices, fmt.Sprintf("%d more have ended; process_list with state ended shows them.", more))
	}
	a.data.SetNotices(notices)
	// Above what programs have written, which could be a notice of their own.
	a.text = "Notice: " + strings.Join(notices, "\nNotice: ") + "\n" + a.text
}
