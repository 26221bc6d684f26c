package tools

import (
	"context"
	"fmt"
	"time"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/procmgr/output"
	"github.com/proctor-mcp/proctor/schemas"
	"github.com/proctor-mcp/proctor/screen"
)

// render returns what the terminal of a process shows. This can take a second of work
// and a megabyte, so few calls do it at a time, and they let others work meanwhile.
func (c *Call) render(ctx context.Context, out output.Reader, p procmgr.Process) (screen.Screen, error) {
	resume := c.pause()
	err := c.t.screens.Enter(ctx, c.Scope)
	resume()
	if err != nil {
		return screen.Screen{}, err
	}
	defer c.t.screens.Leave()
	var sizes []screen.Resize
	for _, s := range p.Sizes {
		sizes = append(sizes, screen.Resize{At: s.At, Rows: s.Rows, Cols: s.Cols})
	}
	const most = 20 * time.Millisecond
	begin := c.t.clock.Now()
	return screen.Render(func(buffer []byte, offset int64) (int, int64) {
		if c.t.clock.Since(begin) > most {
			if !c.yield(ctx) {
				return 0, offset
			}
			begin = c.t.clock.Now()
		}
		part := out.Read(buffer, offset)
		return len(part.Data), part.At
	}, out.Total(), sizes), nil
}

// showScreen fills in what the terminal of a process shows, and returns it as text.
func (c *Call) showScreen(ctx context.Context, r *schemas.OutputResult, out output.Reader, p procmgr.Process) (string, error) {
	if len(p.Sizes) == 0 {
		return "", errNoScreen
	}
	s, err := c.render(ctx, out, p)
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
		title = fmt.Sprintf(", title %q", excerpt(s.Title))
	}
	if s.Missing > 0 {
		title += fmt.Sprintf("; %d bytes of output were not played", s.Missing)
	}
	return fmt.Sprintf("[screen of %d rows and %d columns, cursor in row %d, column %d%s]\n%s", s.Rows, s.Cols, s.Row, s.Col, title, s.Text), nil
}
