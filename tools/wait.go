package tools

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/procmgr/output"
	"github.com/proctor-mcp/proctor/schemas"
)

const (
	lastLines = 5        // of each process in an answer
	lastText  = 32 << 10 // bytes of them in all
)

func waitTool() Definition {
	return define("process_wait", "Wait for processes", strings.TrimSpace(`
Wait until one of several processes has ended, or each (mode all; name them, for a server never ends), or until wait_for comes true of it. Shows how each stands and its last lines.`),
		Hints{ReadOnly: true, Idempotent: true})
}

func (c *Call) wait(ctx context.Context, in schemas.WaitInput) (answer, error) {
	w, err := condition(in.WaitFor, nil)
	if err != nil {
		return answer{}, err
	}
	handles, err := c.waitedFor(in.ProcessIDs)
	if err != nil {
		return answer{}, err
	}
	waited := c.awaitAll(ctx, handles, w, in.Mode == "all", in.WaitMS)
	list := make([]waitedProcess, len(handles))
	for i, p := range c.processes().Snapshots(handles) {
		list[i] = waitedProcess{handles[i], p, waited[i]}
		c.reportExit(ctx, handles[i], p)
		if in.WaitFor != nil {
			c.noteWait(ctx, handles[i], in.WaitFor, waited[i])
		}
	}
	slices.SortStableFunc(list, func(a, b waitedProcess) int { // what has ended first
		return cmp.Or(b.endedAt().Compare(a.endedAt()), a.p.StartedAt.Compare(b.p.StartedAt))
	})
	return c.waitAnswer(list, in.WaitFor != nil), nil
}

// waitedFor returns the processes that a call waits for: those it names, else those
// that run, and those that have ended and that no answer has reported yet.
func (c *Call) waitedFor(ids []string) (handles []procmgr.Handle, err error) {
	if ids == nil {
		all, _ := c.processes().Handles(procmgr.FilterAll, allOfChat)
		for _, h := range all {
			if p := h.Brief(); p.State.Running() || !p.Reported {
				handles = append(handles, h)
			}
		}
		return handles, nil
	}
	ids = slices.Clone(ids)
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		h, err := c.processes().Find(id)
		if err != nil {
			return nil, invalid("process_ids: this chat has no process %s; it may have been forgotten some minutes after its end", quoteShort(id))
		}
		handles = append(handles, h)
	}
	return handles, nil
}

// awaitAll waits for the first of the processes, or for all.
func (c *Call) awaitAll(ctx context.Context, handles []procmgr.Handle, w procmgr.Condition, all bool, asked *schemas.Int) []procmgr.Waited {
	waitCtx, cancel := c.within(ctx, asked, conditionWait)
	defer cancel()
	waited := make([]procmgr.Waited, len(handles))
	stop, resume := c.reportProgress(ctx, handles...), c.pause()
	var wg sync.WaitGroup
	for i, h := range handles {
		wg.Go(func() {
			waited[i] = awaitOne(waitCtx, h, w)
			if !all && waited[i].Result != procmgr.WaitOver {
				cancel()
			}
		})
	}
	wg.Wait()
	stop()
	resume()
	return waited
}

// waitedProcess is a process that was waited for, whether it has ended or not.
type waitedProcess struct {
	h      procmgr.Handle
	p      procmgr.Process
	waited procmgr.Waited
}

// endedAt returns when it ended, or the zero time if it runs.
func (e waitedProcess) endedAt() time.Time {
	if e.p.State.Running() {
		return time.Time{}
	}
	return e.p.Exit.At
}

// waitAnswer says how each process stands and shows its last lines.
func (c *Call) waitAnswer(list []waitedProcess, conditional bool) answer {
	r := &schemas.WaitResult{Processes: []schemas.WaitedProcess{}, StillRunning: []string{}}
	var each strings.Builder
	for _, e := range list {
		last := e.h.Output().Tail(lastLines, output.Part{Open: e.p.OutputOpen && e.p.State.Running()})
		row := schemas.WaitedProcess{Process: listed(e.p), LastLines: lastOf(last.Text, lastText/len(list)), NextCursor: last.Next}
		fmt.Fprintf(&each, "Process %s: %s.", e.p.ID, status(e.p))
		if conditional {
			row.Waited = waitedOf(e.waited)
			each.WriteString(waitWords(row.Waited))
		}
		if e.p.State.Running() {
			r.StillRunning = append(r.StillRunning, e.p.ID)
		}
		fmt.Fprintf(&each, "  %s\n", excerpt(e.p.Command))
		// Indented, so that no line of output looks like the line above.
		for line := range strings.Lines(row.LastLines) {
			each.WriteString("  " + asLine(strings.TrimSuffix(line, "\n")) + "\n")
		}
		r.Processes = append(r.Processes, row)
	}
	r.Notes = c.notes
	var text strings.Builder
	switch ended := len(list) - len(r.StillRunning); {
	case len(list) == 0:
		text.WriteString("No command of this chat runs, so there was nothing to wait for.\n")
		if left, _ := c.processes().Handles(procmgr.FilterRunning, allOfChat); len(left) > 0 {
			fmt.Fprintf(&text, "Descendants of %d that have ended still live: process_list shows them, process_signal ends them.\n", len(left))
		}
	case len(list) > 1:
		fmt.Fprintf(&text, "%d of %d have ended.\n", ended, len(list))
	}
	writeNotes(&text, c.notes)
	text.WriteString(each.String())
	return answer{strings.TrimSuffix(text.String(), "\n"), r}
}

// lastOf returns the last lines of a text that fit, or the end of the last one.
func lastOf(text string, size int) string {
	size = max(size, 200)
	if len(text) <= size {
		return text
	}
	text = strings.ToValidUTF8(text[len(text)-size:], "")
	if _, rest, found := strings.Cut(text, "\n"); found && rest != "" {
		return rest
	}
	return "…" + text
}
