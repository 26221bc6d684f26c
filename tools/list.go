package tools

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/schemas"
)

const defaultListLimit = 10

func listTool() Definition {
	return define("process_list", "List processes", strings.TrimSpace(`
List this chat's processes: running ones first, then the newest. Use it to find a process_id again or to see what is left to end; use process_output to follow one.`),
		Hints{ReadOnly: true, Idempotent: true})
}

func (c *Call) list(ctx context.Context, in schemas.ListInput) (answer, error) {
	filter, limit := procmgr.FilterAll, defaultListLimit
	if in.State != "" {
		filter = procmgr.Filter(in.State)
	}
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	list, omitted := c.processes().Handles(filter, limit)
	result := schemas.ListResult{Processes: make([]schemas.Process, 0, len(list)), KillDomain: string(c.t.manager.KillDomain()), Omitted: omitted}
	const usualLine = 128
	var text strings.Builder
	text.Grow(usualLine * len(list))
	if len(list) == 0 {
		text.WriteString("No processes. Start one with process_start.")
	}
	const turn = 5 * time.Millisecond
	began := c.t.clock.Now()
	for i, p := range c.processes().Snapshots(list) {
		h := list[i]
		if in.Usage && c.t.clock.Since(began) > turn { // measuring takes time: other calls come first
			c.yield(ctx)
			began = c.t.clock.Now()
		}
		c.reportExit(ctx, h, p)
		row := listed(p)
		fmt.Fprintf(&text, "%s  %s", p.ID, status(p))
		if in.Usage {
			measure(&text, &row, h)
		}
		result.Processes = append(result.Processes, row)
		if p.Label != "" {
			fmt.Fprintf(&text, "  [%s]", excerpt(p.Label))
		}
		fmt.Fprintf(&text, "  %s\n", excerpt(p.Command))
	}
	if omitted > 0 {
		fmt.Fprintf(&text, "%d more; set limit to see them.", omitted)
	}
	c.noteReach(c.processes().Strays(), "processes of this chat")
	result.Notes = c.notes
	if len(c.notes) > 0 && !strings.HasSuffix(text.String(), "\n") {
		text.WriteByte('\n')
	}
	writeNotes(&text, c.notes)
	return answer{text.String(), &result}, nil
}

// measure adds what a process has used and the ports it listens on to a row of a list.
func measure(text *strings.Builder, row *schemas.Process, h procmgr.Handle) {
	if u, err := h.Usage(); err == nil {
		row.Usage = usage(u)
		row.Usage.RSSBytes, row.Usage.Processes = &u.RSS, &u.Processes
		fmt.Fprintf(text, "; %s CPU", rounded(u.User+u.System))
		if u.Processes > 0 {
			fmt.Fprintf(text, ", %.1f MiB in %s", float64(u.RSS)/(1<<20), processes(u.Processes))
		}
	}
	if list, err := h.Ports(); err == nil && len(list) > 0 {
		row.Ports = ports(list)
		text.WriteString(", listens on " + portNumbers(list))
	}
}

// ports returns the lowest ports in the terms of the schema: a process can listen on
// thousands.
func ports(list []procmgr.Port) (shown []schemas.Port) {
	const most = 64
	for _, p := range list[:min(len(list), most)] {
		shown = append(shown, schemas.Port(p))
	}
	return shown
}

// portNumbers lists the lowest ports, each once.
func portNumbers(list []procmgr.Port) string {
	const most = 8
	var names []string
	for i, p := range list {
		if i == 0 || p.Port != list[i-1].Port {
			names = append(names, strconv.Itoa(p.Port))
		}
	}
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}

func processes(n int) string {
	if n == 1 {
		return "1 process"
	}
	return fmt.Sprintf("%d processes", n)
}
