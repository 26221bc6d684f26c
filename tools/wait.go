package tools

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/procmgr/output"
	"github.com/proctor-mcp/proctor/schemas"
)

// lastLines is how many lines of each process an answer shows.
const lastLines = 5

func waitTool() mcp.Tool {
	return define("process_wait", "Wait for processes", strings.TrimSpace(`
Wait until one of several processes has ended (mode any) or each has (all), or until wait_for comes true of it. Shows how each stands and its last lines. One call instead of polling.`),
		hints(true, false, true, false))
}

func (t *Tools) wait(ctx context.Context, c *call, in schemas.WaitInput) (answer, error) {
	w, err := condition(in.WaitFor, nil)
	if err != nil {
		return answer{}, err
	}
	ids := in.ProcessIDs
	if ids == nil {
		// What has ended just now and unseen is what the caller waits for.
		list, _ := t.manager.List(c.Scope, procmgr.FilterAll, maxSignalled)
		for _, p := range list {
			if p.State.Running() || !p.Told {
				ids = append(ids, p.ID)
			}
		}
	}
	all := in.Mode == "all"
	waited, err := t.awaitAll(ctx, c, ids, w, all, in.WaitMS)
	if err != nil {
		return answer{}, err
	}
	r := &schemas.WaitResult{Processes: []schemas.WaitedProcess{}, StillRunning: []string{}}
	var text strings.Builder
	for i, id := range ids {
		p, out, err := t.manager.Read(c.Scope, id)
		if errors.Is(err, procmgr.ErrNotFound) {
			continue // forgotten while others were waited for
		}
		t.told(ctx, c, p)
		last := out.Tail(lastLines, output.Part{Open: p.OutputOpen && p.State.Running()})
		shown := schemas.WaitedProcess{Process: inList(p), LastLines: last.Text, NextCursor: last.Next}
		fmt.Fprintf(&text, "Process %s: %s.", p.ID, status(p))
		if in.WaitFor != nil {
			shown.Waited = waitedOf(waited[i])
			text.WriteString(waitWords(shown.Waited))
		}
		if p.State.Running() {
			r.StillRunning = append(r.StillRunning, p.ID)
		}
		fmt.Fprintf(&text, "  %s\n", clip(p.Command))
		if last.Text != "" {
			text.WriteString(strings.TrimSuffix(last.Text, "\n") + "\n")
		}
		r.Processes = append(r.Processes, shown)
	}
	if len(r.Processes) == 0 {
		text.WriteString("Nothing of this chat runs, so there was nothing to wait for.")
	}
	writeNotes(&text, c.notes)
	r.Notes = c.notes
	return answer{strings.TrimSuffix(text.String(), "\n"), r}, nil
}

// awaitAll waits for the first of the processes, or for all.
func (t *Tools) awaitAll(ctx context.Context, c *call, ids []string, w procmgr.WaitFor, all bool, asked *schemas.Int) ([]procmgr.Waited, error) {
	waitCtx, cancel := t.within(ctx, c, asked, conditionWait)
	defer cancel()
	for _, id := range ids { // none is waited for if one is not there
		if _, _, err := t.manager.Read(c.Scope, id); err != nil {
			return nil, err
		}
	}
	waited := make([]procmgr.Waited, len(ids))
	stop := func() {}
	if len(ids) > 0 {
		stop = t.report(ctx, c, ids[0])
	}
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
