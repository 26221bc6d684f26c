package tools

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/proctor-mcp/proctor/probe"
	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/procmgr/output"
	"github.com/proctor-mcp/proctor/schemas"
)

const (
	// conditionWait is how long a call waits for a condition unless it says: as long
	// as most clients have patience.
	conditionWait = 45 * time.Second
	// fromNow as the offset behind which output is new is the end of what there is.
	fromNow = -1
)

// waitHTTP is what a wait has come to when a URL has answered.
const waitHTTP procmgr.WaitResult = "http_ok"

// condition puts wait_for into the terms of the manager. cursor is where output that
// counts begins; without, lines count from the start on, and new output from now on.
func condition(in *schemas.WaitFor, cursor *schemas.Int) (w procmgr.Condition, err error) {
	switch {
	case in == nil:
		return w, nil
	case *in == schemas.WaitFor{}: // the schema refuses {} and zeros
		return w, invalid("wait_for.new_output: got false, must be true where it stands alone: nothing else could come true")
	}
	if in.OutputMatches != "" {
		if w.Match, err = output.CompilePattern(in.OutputMatches, false); err != nil {
			return w, invalid("wait_for.output_matches: got %s, must be an RE2 pattern: %s", shown(in.OutputMatches), clip(err.Error()))
		}
	}
	if in.HTTPOK != "" {
		var input *probe.InputError
		if _, err := probe.CheckURL(in.HTTPOK); errors.As(err, &input) {
			return w, invalid("wait_for.http_ok: got %s, must be %s", clip(input.Got), input.Want)
		}
		w.Probes = append(w.Probes, procmgr.Probe{Result: waitHTTP, Ready: func(ctx context.Context) error { return probe.HTTP(ctx, in.HTTPOK) }})
	}
	w.Port = int(in.PortOpen)
	w.Idle = milliseconds(in.IdleMS)
	w.NewOutput, w.Behind = in.NewOutput, fromNow
	if cursor != nil {
		w.Cursor, w.Behind = int64(*cursor), int64(*cursor)
	}
	return w, nil
}

// await waits as long as was asked for the exit or for what w says.
func (t *Tools) await(ctx context.Context, c *call, id string, w procmgr.Condition, asked *schemas.Int, otherwise time.Duration) (procmgr.Waited, error) {
	waitCtx, cancel := t.within(ctx, c, asked, otherwise)
	defer cancel()
	stop := t.report(ctx, c, id)
	resume := t.pause(ctx, c)
	waited, err := t.awaitOne(waitCtx, c, id, w)
	stop()
	resume()
	return waited, err
}

// awaitOne waits until the context ends at most.
func (t *Tools) awaitOne(ctx context.Context, c *call, id string, w procmgr.Condition) (procmgr.Waited, error) {
	_, out, err := t.manager.Read(c.Scope, id)
	if err != nil {
		return procmgr.Waited{}, err
	}
	if w.Behind == fromNow {
		w.Behind = out.Total()
	}
	if port := w.Port; port != 0 {
		if _, err := t.manager.Ports(c.Scope, id); errors.Is(err, errors.ErrUnsupported) {
			w.Port = 0
			w.Probes = append(slices.Clip(w.Probes), procmgr.Probe{Result: procmgr.WaitPort, Ready: func(ctx context.Context) error { return probe.Port(ctx, port) }})
		}
	}
	return t.manager.WaitFor(ctx, c.Scope, id, w)
}

// remark notes what there is to say of a wait beside its result.
func (t *Tools) remark(ctx context.Context, c *call, id string, in *schemas.WaitFor, w procmgr.Waited) {
	if w.Lost > 0 {
		c.note("%d bytes were no longer kept when output_matches was looked for in them.", w.Lost)
	}
	if in.PortOpen == 0 && in.HTTPOK == "" {
		return
	}
	ports, err := t.manager.Ports(c.Scope, id)
	foreign := func(port int) bool {
		return err == nil && !slices.ContainsFunc(ports, func(p procmgr.Port) bool { return p.Port == port })
	}
	if port := int(in.PortOpen); port != 0 {
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			c.note("Whose port it is cannot be seen here: any server on it counts.")
		case w.Result == procmgr.WaitOver && foreign(port) && isOpen(ctx, port):
			c.note("Port %d is open, but not by this process: something else has it.", port)
		}
	}
	if in.HTTPOK == "" {
		return
	}
	if port, _ := probe.CheckURL(in.HTTPOK); w.Result == waitHTTP && foreign(port) {
		c.note("Nothing of this process listens on port %d: another server has answered.", port)
	}
	if port, _ := probe.CheckURL(in.HTTPOK); w.Result == procmgr.WaitOver && err == nil && !foreign(port) && !isOpen(ctx, port) {
		c.note("The process listens on port %d, but no connection from here reaches it: it may listen on another address, be too busy to accept, or have a network of its own by the launcher.", port)
	}
	for _, err := range w.Missing {
		var pending *probe.PendingError
		if w.Result == procmgr.WaitOver && errors.As(err, &pending) {
			c.note("The last try of the URL: %s.", clip(Cause(pending.Last).Error()))
		}
	}
}

func isOpen(ctx context.Context, port int) bool {
	ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	return probe.Port(ctx, port) == nil
}

// waitedOf puts the end of a wait into the terms of the schema.
func waitedOf(w procmgr.Waited) schemas.Waited {
	s := schemas.Waited{WaitResult: string(w.Result)}
	if w.Result == procmgr.WaitMatch {
		s.Matched = &schemas.Matched{Text: w.Line.Text, Cursor: w.Line.Cursor, Line: w.Line.Number}
	}
	return s
}

// waitWords says in a few words what ended a wait for a condition.
func waitWords(w schemas.Waited) string {
	switch w.WaitResult {
	case "":
		return ""
	case string(procmgr.WaitMatch):
		return fmt.Sprintf(" Matched at cursor %d: %q.", w.Matched.Cursor, clip(w.Matched.Text))
	case string(procmgr.WaitPort):
		return " The port is open."
	case string(waitHTTP):
		return " The URL answers."
	case string(procmgr.WaitIdle):
		return " It has been silent for idle_ms."
	case string(procmgr.WaitNewOutput):
		return " There is new output."
	case string(procmgr.WaitExited):
		return " It ended before wait_for came true."
	}
	return " wait_for did not come true within wait_ms."
}
