package tools

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/proctor-mcp/proctor/procmgr"
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
	started, err := t.manager.Start(ctx, c.Scope, spec)
	if err != nil {
		return answer{}, err
	}
	c.attrs = append(c.attrs, "process_id", started.ID)
	if started.Forgotten {
		c.note("This request_id started the process before; it has ended and its output is no longer kept.")
		return t.started(started, schemas.ProcessOutput{}, c), nil
	}

	wait := defaultWait
	if spec.Background {
		wait = 0
	}
	p, out, err := t.follow(ctx, c, started.ID, in.WaitMS, wait)
	if errors.Is(err, procmgr.ErrNotFound) && started.Attached {
		return t.start(ctx, c, in) // it was forgotten just now; the next answer says so
	}
	if err != nil {
		return answer{}, err
	}
	started.Process = p
	return t.started(started, out, c), nil
}

func (t *Tools) started(s procmgr.Started, out schemas.ProcessOutput, c *call) answer {
	return answer{
		text: describe(s.Process, out, c.notes),
		data: &schemas.StartResult{
			Process: process(s.Process), ProcessOutput: out,
			Attached: s.Attached, Forgotten: s.Forgotten, Notes: c.notes,
		},
	}
}

// follow waits for the exit, as long as was asked, and reads the output. An exit
// that it sees is told.
func (t *Tools) follow(ctx context.Context, c *call, id string, asked *schemas.Int, otherwise time.Duration) (procmgr.Process, schemas.ProcessOutput, error) {
	waitCtx, cancel := t.within(ctx, c, asked, otherwise)
	defer cancel()
	stop := t.report(ctx, c, id)
	// How the wait ended does not matter: the state says it.
	resume := t.pause(ctx, c)
	_ = t.manager.Wait(waitCtx, c.Scope, id)
	stop()
	resume()
	p, view, err := t.manager.Output(c.Scope, id)
	if err != nil {
		return procmgr.Process{}, schemas.ProcessOutput{}, err
	}
	t.told(ctx, c, p)
	return p, outputOf(p, view), nil
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
