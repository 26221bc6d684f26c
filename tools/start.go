package tools

import (
	"context"
	"errors"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/procmgr/output"
	"github.com/proctor-mcp/proctor/schemas"
)

func startTool() mcp.Tool {
	return define("process_start", "Start a process", strings.TrimSpace(`
Run a shell command. Waits for the exit and answers with exit code and output; a command that takes longer than wait_ms goes on, and process_output follows it. Set background for servers and watchers, with wait_for to know that they are ready. Each gets a fresh shell without a terminal or input: pass flags such as -y, or stdin; for what asks, keep_stdin or tty. Do not append "&" or poll with sleep. End it with process_signal.`),
		hints(false, true, false, true))
}

func (t *Tools) start(ctx context.Context, c *call, in schemas.StartInput) (answer, error) {
	spec := procmgr.Spec{
		Command:    in.Command,
		Dir:        in.Workdir,
		Env:        in.Env,
		Background: in.Background,
		Timeout:    milliseconds(in.TimeoutMS),
		Label:      in.Label,
		Split:      in.Split,
		KeepStdin:  in.KeepStdin,
		RequestID:  in.RequestID,
		Ambient:    c.TraceEnv(),
		Log:        c.base.With(c.CallAttrs()...),
	}
	if in.TTY != nil {
		spec.TTY = terminalSize(in.TTY)
		if spec.TTY == (procmgr.Size{}) { // which is none
			return answer{}, invalid("tty: got 0 rows and 0 columns, must be 1 to %d rows and 1 to %d columns", procmgr.MaxRows, procmgr.MaxCols)
		}
	}
	if in.Stdin != nil {
		spec.Stdin = []byte(*in.Stdin)
	}
	if command, cut := cutAmpersand(in.Command); cut {
		spec.Command, spec.Background = command, true
		c.note(`The trailing "&" was taken off and the process started in the background.`)
	}
	w, err := condition(in.WaitFor, new(schemas.Int))
	if err != nil {
		return answer{}, err
	}
	started, err := t.manager.Start(ctx, c.Scope, spec)
	if err != nil {
		return answer{}, err
	}
	c.attrs = append(c.attrs, "process_id", started.ID)
	if started.Forgotten {
		c.note("This request_id started the process before; it has ended and its output is no longer kept.")
		text := head(started.Process, schemas.ProcessOutput{}, schemas.Waited{}, c.notes) + orNothing("")
		return began(started, text, schemas.OutputResult{}, c), nil
	}

	wait := defaultWait
	switch {
	case in.WaitFor != nil:
		wait = conditionWait
	case spec.Background:
		wait = 0
	}
	w.Asks = in.WaitFor == nil // nobody else can answer
	waited, err := t.await(ctx, c, started.ID, w, in.WaitMS, wait)
	var out output.Reader
	if err == nil {
		started.Process, out, err = t.manager.Read(c.Scope, started.ID)
	}
	if errors.Is(err, procmgr.ErrNotFound) && started.Attached {
		return t.start(ctx, c, in) // it was forgotten just now; the next answer says so
	}
	if err != nil {
		return answer{}, err
	}
	var r schemas.OutputResult
	text, err := t.read(&r, &schemas.OutputInput{TailLines: in.TailLines}, out, started.Process, nil)
	if err != nil {
		return answer{}, err
	}
	t.manager.Looked(c.Scope, started.ID, out.Total())
	return began(started, t.showed(ctx, c, started.Process, out, &r, text, in.WaitFor, waited).text, r, c), nil
}

// began is the answer with what a process has written so far.
func began(s procmgr.StartedProcess, text string, r schemas.OutputResult, c *call) answer {
	return answer{text, &schemas.StartResult{
		Process: process(s.Process), ProcessOutput: r.ProcessOutput, Waited: r.Waited,
		Attached: s.Attached, Forgotten: s.Forgotten, Remarks: schemas.Remarks{Notes: c.notes},
	}}
}

// kept notes why little of an output is kept, if that is so.
func (t *Tools) kept(c *call, out output.Reader) {
	if err := out.Failure(); err != nil {
		c.note("Of much of its output only the last 128 KiB are kept: the server cannot write to its --output-dir (%s). To have all, redirect to a file.", clip(Cause(err).Error()))
	}
}

// cutAmpersand takes a trailing "&" off: who writes one wants the background.
// "&&", "|&" and an escaped "&" mean something else.
func cutAmpersand(command string) (string, bool) {
	trimmed := strings.TrimRight(command, " \t\r\n")
	rest, found := strings.CutSuffix(trimmed, "&")
	if !found || strings.HasSuffix(rest, "&") || strings.HasSuffix(rest, "|") || strings.HasSuffix(rest, `\`) ||
		strings.TrimSpace(rest) == "" {
		return command, false
	}
	return strings.TrimRight(rest, " \t\r\n"), true
}

// terminalSize is the size that a call asks for, else that of most terminals.
func terminalSize(asked *schemas.TTY) procmgr.Size {
	size := procmgr.Size{Rows: 24, Cols: 80}
	if asked.Rows != nil {
		size.Rows = int(*asked.Rows)
	}
	if asked.Cols != nil {
		size.Cols = int(*asked.Cols)
	}
	return size
}
