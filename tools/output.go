package tools

import (
	"context"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/procmgr/output"
	"github.com/proctor-mcp/proctor/schemas"
)

func outputTool() mcp.Tool {
	return define("process_output", "Read a process's output", strings.TrimSpace(`
Read what a process wrote and how it ended. Waits for the exit or wait_for, so one call replaces polling. Gives the first and last 16 KiB, or one part: from cursor on, tail_lines, or search, which is better than reading much. Reading never consumes.`),
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
	wait, part := defaultWait, in.Cursor != nil || in.TailLines > 0 || in.Search != nil || in.Screen
	switch {
	case in.WaitFor != nil:
		wait = conditionWait
	case part:
		wait = 0
	}
	p, out, err := t.manager.Read(c.Scope, in.ProcessID)
	if err == nil {
		err = checkKept(&in, p, out)
	}
	if err != nil {
		return answer{}, err
	}
	// Whoever gives the time wants the exit; else there is nothing to wait for while it
	// asks.
	w.Asks = in.WaitFor == nil && in.WaitMS == nil && !part
	waited, err := t.await(ctx, c, in.ProcessID, w, in.WaitMS, wait)
	if err != nil {
		return answer{}, err
	}
	p, out, err = t.manager.Read(c.Scope, in.ProcessID)
	if err != nil {
		return answer{}, err
	}
	r := &schemas.OutputResult{Process: process(p)}
	var text string
	if in.Screen {
		text, err = t.showScreen(ctx, c, r, out, p)
	} else {
		text, err = t.read(r, &in, out, p, t.breath(ctx, c))
	}
	if err != nil {
		return answer{}, err
	}
	if atEnd := in.Cursor != nil && r.Cursor == out.Total(); in.WaitFor == nil && (!part || atEnd) {
		t.looked(c, p.ID, out.Total())
	}
	return t.showed(ctx, c, p, out, r, text, in.WaitFor, waited), nil
}

// showed is the answer with a part of an output, and what there is to say beside it.
func (t *Tools) showed(ctx context.Context, c *call, p procmgr.Process, out output.Reader, r *schemas.OutputResult, text string, in *schemas.WaitFor, waited procmgr.Waited) answer {
	r.OutputOpen = p.OutputOpen
	if in != nil {
		r.Waited = waitedOf(waited)
		t.remark(ctx, c, p.ID, in, waited)
	}
	t.kept(c, out)
	t.told(ctx, c, p)
	r.Notes = c.notes
	return answer{text: head(p, r.ProcessOutput, r.Waited, c.notes) + orNothing(text), data: r}
}

// looked notes that the caller has looked for new output in vain, and how it can
// wait instead.
func (t *Tools) looked(c *call, id string, next int64) {
	times := t.manager.Looked(c.Scope, id, next)
	if times > 0 {
		c.note("There is nothing new since the last look.")
	}
	if times > 1 {
		c.note("To wait without polling, call process_output once with wait_for (output_matches, port_open, idle_ms…) and a long wait_ms.")
	}
}
