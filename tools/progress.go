package tools

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/procmgr/output"
)

// progressEvery is how often a client that asked for progress hears of a call that
// waits.
const progressEvery = 5 * time.Second

// reportProgress tells the client how the processes stand until the returned function
// is called. It does nothing if the client did not ask for progress.
func (c *Call) reportProgress(ctx context.Context, processes ...procmgr.Handle) (stop func()) {
	if c.ProgressToken == nil || c.Notify == nil || len(processes) == 0 {
		return func() {}
	}
	begin := c.t.clock.Now()
	ctx, cancel := context.WithCancel(ctx)
	ticks := c.t.clock.TickerFunc(ctx, progressEvery, func() error {
		c.Notify("notifications/progress", map[string]any{
			"progressToken": c.ProgressToken,
			"progress":      c.t.clock.Since(begin).Seconds(),
			"message":       progressOf(processes),
		})
		return nil
	}, "progress")
	return func() {
		cancel()
		_ = ticks.Wait() // then nothing is sent after the answer
	}
}

// progressOf describes in one line how processes stand.
func progressOf(processes []procmgr.Handle) string {
	if len(processes) == 1 {
		return progressMessage(processes[0].View())
	}
	ended := 0
	for _, h := range processes {
		if h.Ended() {
			ended++
		}
	}
	return fmt.Sprintf("%d of %d processes have ended", ended, len(processes))
}

func progressMessage(p procmgr.Process, v output.View) string {
	message := fmt.Sprintf("%s, %d bytes of output", status(p), v.Next)
	text := strings.TrimRight(v.Text, "\r\n")
	if last := text[strings.LastIndexAny(text, "\r\n")+1:]; last != "" {
		message += ": " + excerpt(last)
	}
	return message
}
