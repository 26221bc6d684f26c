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

// conditionWait is how long a call waits for a condition unless it says: as long as
// most clients have patience.
const conditionWait = 45 * time.Second

// waitHTTP is what a wait has come to when a URL has answered.
const waitHTTP procmgr.WaitResult = "http_ok"

// condition puts wait_for into the terms of the manager. cursor is where output
// that counts begins: the start, unless the call says.
func condition(in *schemas.WaitFor, cursor *schemas.Int) (w procmgr.WaitFor, err error) {
	if in == nil {
		return w, nil
	}
	if in.OutputMatches != "" {
		if w.Match, err = output.CompilePattern(in.OutputMatches, false); err != nil {
			return w, &argumentError{[]string{fmt.Sprintf("wait_for.output_matches: got %s, must be an RE2 pattern: %s", shown(in.OutputMatches), clip(err.Error()))}}
		}
	}
	if in.HTTPOK != "" {
		var invalid *probe.InputError
		if err := probe.CheckURL(in.HTTPOK); errors.As(err, &invalid) {
			return w, &argumentError{[]string{fmt.Sprintf("wait_for.http_ok: got %s, must be %s", shown(invalid.Got), invalid.Want)}}
		}
		w.Probes = append(w.Probes, procmgr.Probe{Result: waitHTTP, Ready: func(ctx context.Context) error { return probe.HTTP(ctx, in.HTTPOK) }})
	}
	w.Port = int(in.PortOpen)
	w.Idle = milliseconds(in.IdleMS)
	w.NewOutput = in.NewOutput
	if cursor != nil {
		w.Cursor = int64(*cursor)
	}
	return w, nil
}

// await waits as long as was asked for the exit or for what w says.
func (t *Tools) await(ctx context.Context, c *call, id string, w procmgr.WaitFor, asked *schemas.Int, otherwise time.Duration) (procmgr.Waited, error) {
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
func (t *Tools) awaitOne(ctx context.Context, c *call, id string, w procmgr.WaitFor) (procmgr.Waited, error) {
	p, out, err := t.manager.Read(c.Scope, id)
	if err != nil {
		return procmgr.Waited{}, err
	}
	if w.NewOutput && w.Cursor == 0 {
		w.Cursor = out.Total()
	}
	if port := w.Port; port != 0 && p.Remote != "" {
		// What listens elsewhere cannot be seen; what is forwarded here can be tried.
		w.Port = 0
		w.Probes = append(slices.Clip(w.Probes), procmgr.Probe{Result: procmgr.WaitPort, Ready: func(ctx context.Context) error { return probe.Port(ctx, port) }})
	}
	return t.manager.WaitFor(ctx, c.Scope, id, w)
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
		return fmt.Sprintf(" Matched at cursor %d: %s", w.Matched.Cursor, clip(w.Matched.Text))
	case string(procmgr.WaitPort):
		return " The port is open."
	case string(waitHTTP):
		return " The URL answers."
	case string(procmgr.WaitIdle):
		return " It is quiet."
	case string(procmgr.WaitNewOutput):
		return " There is new output."
	case string(procmgr.WaitExited):
		return " It ended before wait_for came true."
	}
	return " wait_for did not come true within wait_ms."
}
