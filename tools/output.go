package tools

import (
	"context"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/proctor-mcp/proctor/schemas"
)

func outputTool() mcp.Tool {
	return define("process_output", "Read a process's output", strings.TrimSpace(`
Read what a process wrote and how it ended. Waits for the exit, or for what wait_for says, so one call replaces polling. Gives the first and the last 16 KiB, or a part: from cursor on, the last lines, or the lines that a search finds; search instead of reading much. Reading never consumes.`),
		hints(true, false, true, false))
}

func (t *Tools) output(ctx context.Context, c *call, in schemas.OutputInput) (answer, error) {
	c.attrs = append(c.attrs, "process_id", clip(in.ProcessID))
	if err := checkPart(&in); err != nil {
		return answer{}, err
	}
	w, err := condition(in.WaitFor, in.Cursor)
	if err != nil {
		return answer{}, err
	}
	wait, part := defaultWait, in.Cursor != nil || in.TailLines > 0 || in.Search != nil
	switch {
	case in.WaitFor != nil:
		wait = conditionWait
	case part:
		wait = 0
	}
	waited, err := t.await(ctx, c, in.ProcessID, w, in.WaitMS, wait)
	if err != nil {
		return answer{}, err
	}
	p, out, err := t.manager.Read(c.Scope, in.ProcessID)
	if err != nil {
		return answer{}, err
	}
	r := &schemas.OutputResult{Process: process(p)}
	r.OutputOpen = p.OutputOpen
	text, err := t.read(r, &in, out, p, func() { t.pause(ctx, c)() })
	if err != nil {
		return answer{}, err
	}
	t.told(ctx, c, p)
	if in.WaitFor != nil {
		r.Waited = waitedOf(waited)
	}
	t.kept(c, out)
	if times := t.manager.Looked(c.Scope, p.ID, out.Total()); times > 0 {
		c.note("There is nothing new since the last look.")
		if times >= 2 {
			c.note("To wait without polling, call process_output once with wait_for (output_matches, port_open, idle_ms…) and a long wait_ms.")
		}
	}
	r.Notes = c.notes
	return answer{text: head(p, r.ProcessOutput, r.Waited, c.notes) + orNothing(text), data: r}, nil
}
