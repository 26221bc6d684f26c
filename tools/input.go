package tools

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/schemas"
)

const (
	// inputIdle is how long the output must be silent, unless the call says what to
	// wait for: a program that answers at once has then done so.
	inputIdle = 100 * time.Millisecond
	// leastInputWait is the shortest wait: writing takes a moment.
	leastInputWait = schemas.Int(50)
)

func inputTool() Definition {
	return define(inputName, "Give a process input", strings.TrimSpace(`
Write text, then keys, then eof to a process started with keep_stdin or tty, and answer with what it wrote since. Waits until it is silent for 100 ms, or for wait_for.`),
		Hints{Destructive: true, OpenWorld: true})
}

func (c *Call) sendInput(ctx context.Context, in schemas.InputInput) (answer, error) {
	h, err := c.find(in.ProcessID)
	if err != nil {
		return answer{}, err
	}
	given, err := c.inputOf(ctx, h, &in)
	if err != nil {
		return answer{}, err
	}
	w, err := condition(in.WaitFor, nil)
	if err != nil {
		return answer{}, err
	}
	if in.WaitMS != nil {
		*in.WaitMS = max(*in.WaitMS, leastInputWait)
	}
	waitCtx, cancel := c.within(ctx, in.WaitMS, defaultWait)
	defer cancel()
	stop, resume := c.reportProgress(ctx, h), c.pause()
	cursor, taken, err := c.write(waitCtx, h, given)
	var waited procmgr.Waited
	if err == nil {
		w.IdleFromNow, w.Cursor, w.Behind = true, cursor, cursor
		if in.WaitFor == nil {
			w.Idle = inputIdle
		}
		waited = awaitOne(waitCtx, h, w)
	}
	stop()
	resume()
	if errors.Is(err, procmgr.ErrInputFull) {
		err = &fullError{taken, len(given.Text)}
	}
	if err != nil {
		return answer{}, err
	}
	return c.showSince(ctx, h, in, cursor, waited)
}

// write gives a process its input, once all input of earlier calls is written.
func (c *Call) write(ctx context.Context, h procmgr.Handle, given procmgr.Input) (cursor int64, taken int, err error) {
	select {
	case <-c.input.first:
	case <-ctx.Done():
		return 0, 0, procmgr.ErrInputFull
	}
	defer c.t.inputs.leave(c.input)
	return h.Input(ctx, given)
}

// inputOf puts the input of a call into the terms of the manager.
func (c *Call) inputOf(ctx context.Context, h procmgr.Handle, in *schemas.InputInput) (given procmgr.Input, err error) {
	tty := h.Facts().TTY != procmgr.Size{}
	if in.Screen && !tty {
		return given, errNoScreen
	}
	application := false
	if tty && usesCursorKeys(in.Keys) {
		s, err := c.render(ctx, h.Output(), h.Brief())
		if err != nil {
			return given, err
		}
		application = s.CursorKeys
	}
	keys, err := keyText(in.Keys, tty, application)
	if err != nil {
		return given, err
	}
	given = procmgr.Input{
		Size: procmgr.Size{Rows: int(in.Rows), Cols: int(in.Cols)}, Text: []byte(in.Text + keys), EOF: in.EOF,
	}
	if (in.Rows == 0) != (in.Cols == 0) {
		return given, invalid("rows, cols: got one of them, must be both or none")
	}
	if len(given.Text) == 0 && !given.EOF && given.Size == (procmgr.Size{}) {
		return given, invalid("text, keys, eof, rows and cols: got none, must be at least one")
	}
	return given, nil
}

// showSince answers with what a process has written since a cursor.
func (c *Call) showSince(ctx context.Context, h procmgr.Handle, in schemas.InputInput, cursor int64, waited procmgr.Waited) (_ answer, err error) {
	s, from := shown{h: h, waited: waited, p: h.Snapshot()}, schemas.Int(cursor)
	s.data = &schemas.OutputResult{Process: process(s.p)}
	if s.text, err = readPart(s.data, &schemas.OutputInput{Cursor: &from}, h.Output(), s.p, nil); err != nil {
		return answer{}, err
	}
	if in.Screen {
		if s.text, err = c.showScreen(ctx, s.data, h.Output(), s.p); err != nil {
			return answer{}, err
		}
	}
	h.NoteRead(h.Output().Total())
	return c.show(ctx, s, in.WaitFor), nil
}
