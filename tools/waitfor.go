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
	// conditionWait is how long a call waits for a condition by default: as long as most
	// clients wait for an answer.
	conditionWait = 45 * time.Second
	// fromNow stands for the end of the output as the offset behind which output is new.
	fromNow = -1
)

// waitHTTP is the result of a wait that ended because a URL answered.
const waitHTTP procmgr.WaitResult = "http_ok"

// condition returns wait_for in the terms of the manager. Output counts from cursor on;
// without one, lines count from the start, and new output from now on.
func condition(in *schemas.WaitFor, cursor *schemas.Int) (w procmgr.Condition, err error) {
	switch {
	case in == nil:
		return w, nil
	case *in == schemas.WaitFor{}: // new_output is false: the schema refuses all else
		return w, invalid("wait_for.new_output: got false, must be true where it stands alone: nothing else could come true")
	}
	if in.OutputMatches != "" {
		if w.Match, err = output.CompilePattern(in.OutputMatches, false); err != nil {
			return w, invalid("wait_for.output_matches: got %s, must be an RE2 pattern: %s", quoteShort(in.OutputMatches), excerpt(err.Error()))
		}
	}
	if in.HTTPOK != "" {
		var input *probe.InputError
		if _, err := probe.CheckURL(in.HTTPOK); errors.As(err, &input) {
			return w, invalid("wait_for.http_ok: got %s, must be %s", excerpt(input.Got), input.Want)
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

// await waits for the exit, or for w, as long as the call asked for.
func (c *Call) await(ctx context.Context, h procmgr.Handle, w procmgr.Condition, asked *schemas.Int, otherwise time.Duration) procmgr.Waited {
	waitCtx, cancel := c.within(ctx, asked, otherwise)
	defer cancel()
	stop, resume := c.reportProgress(ctx, h), c.pause()
	waited := awaitOne(waitCtx, h, w)
	stop()
	resume()
	return waited
}

// awaitOne waits for the exit, or for w, or until the context ends.
func awaitOne(ctx context.Context, h procmgr.Handle, w procmgr.Condition) procmgr.Waited {
	if w.Behind == fromNow {
		w.Behind = h.Output().Total()
	}
	if port := w.Port; port != 0 {
		if _, err := h.Ports(); errors.Is(err, errors.ErrUnsupported) {
			w.Port = 0
			w.Probes = append(slices.Clip(w.Probes), procmgr.Probe{Result: procmgr.WaitPort, Ready: func(ctx context.Context) error { return probe.Port(ctx, port) }})
		}
	}
	return h.WaitFor(ctx, w)
}

// noteWait adds remarks about a wait to the answer: what was not looked at, and what
// is wrong with a port or a URL that did not answer as expected.
func (c *Call) noteWait(ctx context.Context, h procmgr.Handle, in *schemas.WaitFor, w procmgr.Waited) {
	if w.Lost > 0 {
		c.note("%d bytes were discarded before output_matches could be looked for in them.", w.Lost)
	}
	if in.PortOpen == 0 && in.HTTPOK == "" {
		return
	}
	ports, err := h.Ports()
	listens := func(port int) bool {
		return slices.ContainsFunc(ports, func(p procmgr.Port) bool { return p.Port == port })
	}
	if port := int(in.PortOpen); port != 0 {
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			c.note("Whose port it is cannot be seen here: any server on it counts.")
		case err == nil && w.Result == procmgr.WaitOver && !listens(port) && isOpen(ctx, port):
			c.note("Port %d is open, but not by this process: something else has it.", port)
		}
	}
	if in.HTTPOK == "" {
		return
	}
	switch port, _ := probe.CheckURL(in.HTTPOK); {
	case err != nil:
	case w.Result == waitHTTP && !listens(port):
		c.note("Nothing of this process listens on port %d: another server has answered.", port)
	case w.Result == procmgr.WaitOver && listens(port) && !isOpen(ctx, port):
		c.note("The process listens on port %d, but no connection from here reaches it: it may listen on another address, be too busy to accept, or have a network of its own by the launcher.", port)
	}
	for _, err := range w.Missing {
		var pending *probe.PendingError
		if w.Result == procmgr.WaitOver && errors.As(err, &pending) {
			c.note("The last try of the URL: %s.", excerpt(Cause(pending.Last).Error()))
		}
	}
}

func isOpen(ctx context.Context, port int) bool {
	ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	return probe.Port(ctx, port) == nil
}

// waitedOf returns the end of a wait in the terms of the schema.
func waitedOf(w procmgr.Waited) schemas.Waited {
	s := schemas.Waited{WaitResult: string(w.Result)}
	if w.Result == procmgr.WaitMatch {
		s.Matched = &schemas.Matched{Text: w.Line.Text, Cursor: w.Line.Cursor, Line: w.Line.Number}
	}
	return s
}

// waitWords describes in a few words what ended a wait for a condition.
func waitWords(w schemas.Waited) string {
	switch w.WaitResult {
	case "":
		return ""
	case string(procmgr.WaitMatch):
		return fmt.Sprintf(" Matched at cursor %d: %q.", w.Matched.Cursor, excerpt(w.Matched.Text))
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
