package tools

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/procmgr/output"
	"github.com/proctor-mcp/proctor/schemas"
	"github.com/proctor-mcp/proctor/screen"
)

// inputIdle is how long the output must be silent, unless the call says what to wait
// for: a program that answers at once has then done so.
const inputIdle = 100 * time.Millisecond

func inputTool() mcp.Tool {
	return define("process_input", "Give a process input", strings.TrimSpace(`
Write text, then keys, then eof to a process started with keep_stdin or tty, and answer with what it wrote since. Waits until it is silent for 100 ms, or for wait_for.`),
		hints(false, true, false, true))
}

func (t *Tools) input(ctx context.Context, c *call, in schemas.InputInput) (answer, error) {
	c.attrs = append(c.attrs, "process_id", clip(in.ProcessID))
	given, err := t.given(ctx, c, &in)
	if err != nil {
		return answer{}, err
	}
	w, err := condition(in.WaitFor, nil)
	if err != nil {
		return answer{}, err
	}
	if least := schemas.Int(50); in.WaitMS != nil && *in.WaitMS < least {
		in.WaitMS = &least // to write takes a moment
	}
	waitCtx, cancel := t.within(ctx, c, in.WaitMS, defaultWait)
	defer cancel()
	stop, resume := t.report(ctx, c, in.ProcessID), t.pause(ctx, c)
	cursor, taken := int64(0), 0
	written, err := inOrder(waitCtx)
	if err == nil {
		cursor, taken, err = t.manager.Input(waitCtx, c.Scope, in.ProcessID, given)
		written()
	}
	var waited procmgr.Waited
	if err == nil {
		w.IdleFromNow, w.Cursor, w.Behind = true, cursor, cursor
		if in.WaitFor == nil {
			w.Idle = inputIdle
		}
		waited, err = t.awaitOne(waitCtx, c, in.ProcessID, w)
	}
	stop()
	resume()
	if errors.Is(err, procmgr.ErrInputFull) {
		err = &fullError{taken, len(given.Text)}
	}
	if err != nil {
		return answer{}, err
	}
	return t.replied(ctx, c, in, cursor, waited)
}

// given puts what a call gives into the terms of the manager.
func (t *Tools) given(ctx context.Context, c *call, in *schemas.InputInput) (given procmgr.Input, err error) {
	p, out, err := t.manager.Read(c.Scope, in.ProcessID)
	if err != nil {
		return given, err
	}
	tty := p.TTY != procmgr.Size{}
	if in.Screen && !tty {
		return given, errNoScreen
	}
	application := false
	if tty && usesCursorKeys(in.Keys) {
		s, err := t.render(ctx, c, out, p)
		if err != nil {
			return given, err
		}
		application = s.CursorKeys
	}
	keys, err := typed(in.Keys, tty, application)
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

// replied answers with what a process has written since a cursor.
func (t *Tools) replied(ctx context.Context, c *call, in schemas.InputInput, cursor int64, waited procmgr.Waited) (answer, error) {
	p, out, err := t.manager.Read(c.Scope, in.ProcessID)
	if err != nil {
		return answer{}, err
	}
	r := &schemas.OutputResult{Process: process(p)}
	from := schemas.Int(cursor)
	text, err := t.read(r, &schemas.OutputInput{Cursor: &from}, out, p, nil)
	if err != nil {
		return answer{}, err
	}
	if in.Screen {
		if text, err = t.showScreen(ctx, c, r, out, p); err != nil {
			return answer{}, err
		}
	}
	t.manager.Looked(c.Scope, p.ID, out.Total())
	return t.showed(ctx, c, p, out, r, text, in.WaitFor, waited), nil
}

// fullError says that a process did not take all of its input in time.
type fullError struct{ taken, of int }

func (e *fullError) Error() string {
	return fmt.Sprintf("%d of %d bytes of input taken", e.taken, e.of)
}

// errNoScreen says that a screen was asked for of what has no terminal.
var errNoScreen = errors.New("no terminal")

// render returns what the terminal of a process shows. That can be a second of work,
// and takes a megabyte: a few at a time do it, and let other calls work meanwhile.
func (t *Tools) render(ctx context.Context, c *call, out output.Reader, p procmgr.Process) (screen.Screen, error) {
	resume := t.pause(ctx, c)
	err := t.screens.Enter(ctx, c.Scope)
	resume()
	if err != nil {
		return screen.Screen{}, err
	}
	defer t.screens.Leave()
	var sizes []screen.Resize
	for _, s := range p.Sizes {
		sizes = append(sizes, screen.Resize{At: s.At, Rows: s.Rows, Cols: s.Cols})
	}
	const most = 20 * time.Millisecond
	breath, begin := t.breath(ctx, c), t.clock.Now()
	return screen.Render(func(buffer []byte, offset int64) (int, int64) {
		if t.clock.Since(begin) > most {
			if !breath() {
				return 0, offset
			}
			begin = t.clock.Now()
		}
		part := out.Read(buffer, offset)
		return len(part.Data), part.At
	}, out.Total(), sizes), nil
}

// showScreen fills in what the terminal of a process shows, and returns that as text.
func (t *Tools) showScreen(ctx context.Context, c *call, r *schemas.OutputResult, out output.Reader, p procmgr.Process) (string, error) {
	if len(p.Sizes) == 0 {
		return "", errNoScreen
	}
	s, err := t.render(ctx, c, out, p)
	if err != nil {
		return "", err
	}
	r.Screen = &schemas.Screen{
		Text: s.Text, Rows: s.Rows, Cols: s.Cols, CursorRow: s.Row, CursorCol: s.Col,
		Title: s.Title, Alternate: s.Alternate, MissingBytes: s.Missing,
	}
	r.Output, r.Binary, r.Cursor, r.NextCursor = "", nil, s.Played, s.Played
	title := ""
	if s.Title != "" {
		title = fmt.Sprintf(", title %q", clip(s.Title))
	}
	if s.Missing > 0 {
		title += fmt.Sprintf("; %d bytes of output were not played", s.Missing)
	}
	return fmt.Sprintf("[screen of %d rows and %d columns, cursor in row %d, column %d%s]\n%s", s.Rows, s.Cols, s.Row, s.Col, title, s.Text), nil
}
