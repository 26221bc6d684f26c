package tools

import (
	"context"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/procmgr/output"
	"github.com/proctor-mcp/proctor/schemas"
)

// shown is the part of an output that an answer shows, and how the process stood then.
type shown struct {
	h      procmgr.Handle
	p      procmgr.Process
	text   string
	data   *schemas.OutputResult
	waited procmgr.Waited
}

// show finishes the answer that shows a part of an output: it adds what the wait for in
// came to, and the remarks.
func (c *Call) show(ctx context.Context, s shown, in *schemas.WaitFor) answer {
	r, out := s.data, s.h.Output()
	r.OutputOpen = s.p.OutputOpen
	if in != nil {
		r.Waited = waitedOf(s.waited)
		c.noteWait(ctx, s.h, in, s.waited)
	}
	c.noteLostOutput(out)
	c.reportExit(ctx, s.h, s.p)
	r.Notes = c.notes
	return answer{headline(s.p, r.ProcessOutput, r.Waited, c.notes) + orNoOutput(s.text), r}
}

// noteLostOutput says why much of an output is lost, if it is because the server cannot
// write it to a file.
func (c *Call) noteLostOutput(out output.Reader) {
	if err := out.Failure(); err != nil {
		c.note("Of much of its output only the last 128 KiB are kept: the server cannot write to its --output-dir (%s). To have all, redirect to a file.", excerpt(Cause(err).Error()))
	}
}
