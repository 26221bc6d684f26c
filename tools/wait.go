package tools

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/procmgr/output"
	"github.com/proctor-mcp/proctor/schemas"
)

const (
	lastLines = 5        // of each process in an answer
	lastText  = 32 << 10 // bytes of them in all
)

func waitTool() mcp.Tool {
	return define("process_wait", "Wait for processes", strings.TrimSpace(`
Wait until one of several processes has ended, or each (mode all; name them, for a server never ends), or until wait_for comes true of it. Shows how each stands and its last lines.`),
		hints(true, false, true, false))
}

func (t *Tools) wait(ctx context.Context, c *call, in schemas.WaitInput) (answer, error) {
	w, err := condition(in.WaitFor, nil)
	if err != nil {
		return answer{}, err
	}
	ids := slices.Clone(in.ProcessIDs)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if ids == nil {
		// What has ended just now and unseen is what the caller waits for.
		list, _ := t.manager.List(c.Scope, procmgr.FilterAll, allOfChat)
		for _, p := range list {
			if p.State.Running() || !p.Reported {
				ids = append(ids, p.ID)
			}
		}
	}
	waited, err := t.awaitAll(ctx, c, ids, w, in.Mode == "all", in.WaitMS)
	if err != nil {
		return answer{}, err
	}
	list := make([]ended, 0, len(ids))
	for i, id := range ids {
		p, out, err := t.manager.Read(c.Scope, id)
		if errors.Is(err, procmgr.ErrNotFound) {
			continue // forgotten while others were waited for
		}
		t.told(ctx, c, p)
		if in.WaitFor != nil {
			t.remark(ctx, c, id, in.WaitFor, waited[i])
		}
		list = append(list, ended{p, out, waited[i]})
	}
	slices.SortStableFunc(list, func(a, b ended) int { // what has ended first
		return cmp.Or(b.at().Compare(a.at()), a.p.StartedAt.Compare(b.p.StartedAt))
	})
	return t.waitedFor(c, list, in.WaitFor != nil), nil
}

// ended is a process that was waited for, whether it has ended or not.
type ended struct {
	p      procmgr.Process
	out    output.Reader
	waited procmgr.Waited
}

// at is when it ended, zero if it did not.
func (e ended) at() time.Time {
	if e.p.State.Running() {
		return time.Time{}
	}
	return e.p.Exit.At
}

// waitedFor answers with how each process stands and its last lines.
func (t *Tools) waitedFor(c *call, list []ended, conditional bool) answer {
	r := &schemas.WaitResult{Processes: []schemas.WaitedProcess{}, StillRunning: []string{}}
	var each strings.Builder
	for _, e := range list {
		last := e.out.Tail(lastLines, output.Part{Open: e.p.OutputOpen && e.p.State.Running()})
		shown := schemas.WaitedProcess{Process: inList(e.p), LastLines: lastOf(last.Text, lastText/len(list)), NextCursor: last.Next}
		fmt.Fprintf(&each, "Process %s: %s.", e.p.ID, status(e.p))
		if conditional {
			shown.Waited = waitedOf(e.waited)
			each.WriteString(waitWords(shown.Waited))
		}
		if e.p.State.Running() {
			r.StillRunning = append(r.StillRunning, e.p.ID)
		}
		fmt.Fprintf(&each, "  %s\n", clip(e.p.Command))
		// Indented, so that none can be taken for the line above.
		for line := range strings.Lines(shown.LastLines) {
			each.WriteString("  " + strings.TrimSuffix(line, "\n") + "\n")
		}
		r.Processes = append(r.Processes, shown)
	}
	r.Notes = c.notes
	var text strings.Builder
	switch ended := len(list) - len(r.StillRunning); {
	case len(list) == 0:
		text.WriteString("No command of this chat runs, so there was nothing to wait for.\n")
		if left, _ := t.manager.List(c.Scope, procmgr.FilterRunning, allOfChat); len(left) > 0 {
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

// awaitAll waits for the first of the processes, or for all.
func (t *Tools) awaitAll(ctx context.Context, c *call, ids []string, w procmgr.Condition, all bool, asked *schemas.Int) ([]procmgr.Waited, error) {
	waitCtx, cancel := t.within(ctx, c, asked, conditionWait)
	defer cancel()
	for _, id := range ids { // none is waited for if one is not there
		if _, _, err := t.manager.Read(c.Scope, id); err != nil {
			return nil, invalid("process_ids: this chat has no process %s; it may have been forgotten some minutes after its end", shown(id))
		}
	}
	waited := make([]procmgr.Waited, len(ids))
	stop := t.report(ctx, c, ids...)
	resume := t.pause(ctx, c)
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() {
			waited[i], _ = t.awaitOne(waitCtx, c, id, w)
			if !all && waited[i].Result != procmgr.WaitOver {
				cancel()
			}
		})
	}
	wg.Wait()
	stop()
	resume()
	return waited, nil
}
