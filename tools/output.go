package tools

import (
	"context"
	"strings"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/schemas"
)

func outputTool() Definition {
	return define("process_output", "Read a process's output", strings.TrimSpace(`
Read what a process wrote and how it ended. Waits for the exit or wait_for, so one call replaces polling. Gives the first and last 16 KiB, or one part: from cursor on, tail_lines, or search, which is better than reading much. Reading never consumes.`),
		Hints{ReadOnly: true, Idempotent: true})
}

func (c *Call) output(ctx context.Context, in schemas.OutputInput) (answer, error) {
	if err := checkPart(&in); err != nil {
		return answer{}, err
	}
	w, err := condition(in.WaitFor, in.Cursor)
	if err != nil {
		return answer{}, err
	}
	h, err := c.find(in.ProcessID)
	if err == nil {
		err = checkKept(&in, h)
	}
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
	// A process that asks for input ends the wait, unless the call says what to wait for,
	// or for how long.
	w.Asks = in.WaitFor == nil && in.WaitMS == nil && !part
	s := shown{h: h, waited: c.await(ctx, h, w, in.WaitMS, wait), p: h.Snapshot()}
	s.data = &schemas.OutputResult{Process: process(s.p)}
	if in.Screen {
		s.text, err = c.showScreen(ctx, s.data, h.Output(), s.p)
	} else {
		s.text, err = readPart(s.data, &in, h.Output(), s.p, func() bool { return c.yield(ctx) })
	}
	if err != nil {
		return answer{}, err
	}
	total := h.Output().Total()
	if atEnd := in.Cursor != nil && s.data.Cursor == total; in.WaitFor == nil && (!part || atEnd) {
		c.noteNothingNew(h, total)
	}
	return c.show(ctx, s, in.WaitFor), nil
}

// noteNothingNew says so if there is no new output since the last call that looked,
// and how to wait for some.
func (c *Call) noteNothingNew(h procmgr.Handle, total int64) {
	times := h.NoteRead(total)
	if times > 0 {
		c.note("There is nothing new since the last look.")
	}
	if times > 1 {
		c.note("To wait without polling, call process_output once with wait_for (output_matches, port_open, idle_ms…) and a long wait_ms.")
	}
}
