package tools

import (
	"context"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/proctor-mcp/proctor/schemas"
)

func outputTool() mcp.Tool {
	return define("process_output", "Read a process's output", strings.TrimSpace(`
Read what a process wrote and how it ended. Waits for the exit up to wait_ms, so one call replaces polling; set wait_ms to 0 to look at once. Gives the first and the last 16 KiB. Reading never consumes: call it as often as needed.`),
		hints(true, false, true, false))
}

func (t *Tools) output(ctx context.Context, c *call, in schemas.OutputInput) (answer, error) {
	c.attrs = append(c.attrs, "process_id", clip(in.ProcessID))
	p, out, err := t.follow(ctx, c, in.ProcessID, in.WaitMS, defaultWait)
	if err != nil {
		return answer{}, err
	}
	return answer{
		text: describe(p, out, c.notes),
		data: &schemas.OutputResult{Process: process(p), ProcessOutput: out, Notes: c.notes},
	}, nil
}
