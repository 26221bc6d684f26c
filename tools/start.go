package tools

import (
	"context"
	"strings"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/schemas"
)

func startTool() Definition {
	return define("process_start", "Start a process", strings.TrimSpace(`
Run a shell command. Waits for the exit and answers with exit code and output; a command that takes longer than wait_ms goes on, and process_output follows it. Set background for servers and watchers, with wait_for to know that they are ready. Each gets a fresh shell without a terminal or input: pass flags such as -y, or stdin; for what asks, keep_stdin or tty. Do not append "&" or poll with sleep. End it with process_signal.`),
		Hints{Destructive: true, OpenWorld: true})
}

func (c *Call) start(ctx context.Context, in schemas.StartInput) (answer, error) {
	spec, err := c.spec(in)
	if err != nil {
		return answer{}, err
	}
	w, err := condition(in.WaitFor, new(schemas.Int))
	if err != nil {
		return answer{}, err
	}
	started, err := c.processes().Start(ctx, spec)
	if err != nil {
		return answer{}, err
	}
	h := started.Handle
	c.attrs = append(c.attrs, "process_id", h.ID())
	if p := h.Brief(); p.Forgotten {
		c.note("This request_id started the process before; it has ended and its output is no longer kept.")
		text := headline(p, schemas.ProcessOutput{}, schemas.Waited{}, c.notes) + orNoOutput("")
		return startAnswer(p, started.Attached, text, schemas.OutputResult{}, c.notes), nil
	}
	wait := defaultWait
	switch {
	case in.WaitFor != nil:
		wait = conditionWait
	case spec.Background:
		wait = 0
	}
	w.Asks = in.WaitFor == nil // nobody else can answer
	s := shown{h: h, waited: c.await(ctx, h, w, in.WaitMS, wait), p: h.Snapshot(), data: &schemas.OutputResult{}}
	if s.text, err = readPart(s.data, &schemas.OutputInput{TailLines: in.TailLines}, h.Output(), s.p, nil); err != nil {
		return answer{}, err
	}
	h.NoteRead(h.Output().Total())
	return startAnswer(s.p, started.Attached, c.show(ctx, s, in.WaitFor).text, *s.data, c.notes), nil
}

// spec returns what the manager is to start.
func (c *Call) spec(in schemas.StartInput) (procmgr.Spec, error) {
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
		Log:        c.t.log.With(c.CallAttrs()...),
	}
	if in.TTY != nil {
		spec.TTY = terminalSize(in.TTY)
		if spec.TTY == (procmgr.Size{}) { // to the manager that is no terminal
			return spec, invalid("tty: got 0 rows and 0 columns, must be 1 to %d rows and 1 to %d columns", procmgr.MaxRows, procmgr.MaxCols)
		}
	}
	if in.Stdin != nil {
		spec.Stdin = []byte(*in.Stdin)
	}
	if command, cut := cutAmpersand(in.Command); cut {
		spec.Command, spec.Background = command, true
		c.note(`The trailing "&" was taken off and the process started in the background.`)
	}
	return spec, nil
}

// startAnswer returns the answer with what a process has written so far.
func startAnswer(p procmgr.Process, attached bool, text string, r schemas.OutputResult, notes []string) answer {
	return answer{text, &schemas.StartResult{
		Process: process(p), ProcessOutput: r.ProcessOutput, Waited: r.Waited,
		Attached: attached, Forgotten: p.Forgotten, Remarks: schemas.Remarks{Notes: notes},
	}}
}

// cutAmpersand takes off a trailing "&", by which its author asks for the background.
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

// terminalSize returns the size that a call asks for; what it leaves out is the size
// of most terminals.
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
