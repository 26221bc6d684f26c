package tools

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/procmgr/output"
	"github.com/proctor-mcp/proctor/schemas"
)

func startTool() mcp.Tool {
	return define("process_start", "Start a process", strings.TrimSpace(`
Run a shell command. In the foreground it waits for the exit and answers with exit code and output; a command that takes longer than wait_ms goes on running, and process_output follows it. Set background for servers and watchers. Each command gets a fresh shell without a terminal or input: pass stdin, or flags such as -y. Do not append "&" or poll with sleep. End it with process_signal.`),
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
		RequestID:  in.RequestID,
		Ambient:    c.TraceEnv(),
		Log:        c.log(),
	}
	if in.Stdin != nil {
		spec.Stdin = []byte(*in.Stdin)
	}
	if command, cut := cutAmpersand(in.Command); cut {
		spec.Command, spec.Background = command, true
		c.note(`The trailing "&" was taken off and the process started in the background.`)
	}
	w, err := condition(in.WaitFor, nil)
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
		return t.started(started, schemas.ProcessOutput{}, schemas.Waited{}, c), nil
	}

	wait := defaultWait
	switch {
	case in.WaitFor != nil:
		wait = conditionWait
	case spec.Background:
		wait = 0
	}
	p, out, waited, err := t.follow(ctx, c, started.ID, w, in.WaitMS, wait, in.TailLines)
	if errors.Is(err, procmgr.ErrNotFound) && started.Attached {
		return t.start(ctx, c, in) // it was forgotten just now; the next answer says so
	}
	if err != nil {
		return answer{}, err
	}
	started.Process = p
	said := schemas.Waited{}
	if in.WaitFor != nil {
		said = waitedOf(waited)
	}
	return t.started(started, out, said, c), nil
}

func (t *Tools) started(s procmgr.Started, out schemas.ProcessOutput, waited schemas.Waited, c *call) answer {
	return answer{
		text: describe(s.Process, out, waited, c.notes),
		data: &schemas.StartResult{
			Process: process(s.Process), ProcessOutput: out, Waited: waited,
			Attached: s.Attached, Forgotten: s.Forgotten, Remarks: schemas.Remarks{Notes: c.notes},
		},
	}
}

// follow waits for the exit or for what w says, as long as was asked, and reads the
// two ends of the output, or its last lines. An exit that it sees is told.
func (t *Tools) follow(ctx context.Context, c *call, id string, w procmgr.WaitFor, asked *schemas.Int, otherwise time.Duration, lines schemas.Int) (procmgr.Process, schemas.ProcessOutput, procmgr.Waited, error) {
	waited, err := t.await(ctx, c, id, w, asked, otherwise)
	if err != nil {
		return procmgr.Process{}, schemas.ProcessOutput{}, waited, err
	}
	p, out, err := t.manager.Read(c.Scope, id)
	if err != nil {
		return procmgr.Process{}, schemas.ProcessOutput{}, waited, err
	}
	var r schemas.OutputResult
	if _, err := t.read(&r, &schemas.OutputInput{TailLines: lines}, out, p, nil); err != nil {
		return procmgr.Process{}, schemas.ProcessOutput{}, waited, err
	}
	r.OutputOpen = p.OutputOpen
	t.kept(c, out)
	t.manager.Looked(c.Scope, id, out.Total())
	t.told(ctx, c, p)
	return p, r.ProcessOutput, waited, nil
}

// kept notes why little of an output is kept, if that is so.
func (t *Tools) kept(c *call, out output.Reader) {
	if err := out.Failure(); err != nil {
		c.note("Its output is kept in memory only, and little of it: %s.", clip(cause(err).Error()))
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
