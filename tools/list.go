package tools

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/schemas"
)

func listTool() mcp.Tool {
	return define("process_list", "List processes", strings.TrimSpace(`
List this chat's processes: running ones first, then the newest. Use it to find a process_id again or to see what is left to end; use process_output to follow one.`),
		hints(true, false, true, false))
}

func (t *Tools) list(ctx context.Context, c *call, in schemas.ListInput) (answer, error) {
	filter, limit := procmgr.FilterAll, defaultListLimit
	if in.State != "" {
		filter = procmgr.Filter(in.State)
	}
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	list, omitted := t.manager.List(c.Scope, filter, limit)
	t.told(ctx, c, list...)

	result := schemas.ListResult{Processes: make([]schemas.Process, 0, len(list)), KillDomain: string(t.manager.KillDomain()), Omitted: omitted}
	const line = 128 // a usual one
	var text strings.Builder
	text.Grow(line * len(list))
	if len(list) == 0 {
		text.WriteString("No processes. Start one with process_start.")
	}
	const turn = 5 * time.Millisecond
	began := t.clock.Now()
	for _, p := range list {
		if in.Usage && t.clock.Since(began) > turn { // to measure takes time: others first
			t.pause(ctx, c)()
			began = t.clock.Now()
		}
		shown := inList(p)
		fmt.Fprintf(&text, "%s  %s", p.ID, status(p))
		if in.Usage {
			if u, err := t.manager.Usage(c.Scope, p.ID); err == nil {
				shown.Usage = usage(u)
				shown.Usage.RSSBytes, shown.Usage.Processes = &u.RSS, &u.Processes
				fmt.Fprintf(&text, "; %s CPU", rounded(u.User+u.System))
				if u.Processes > 0 {
					fmt.Fprintf(&text, ", %.1f MiB in %s", float64(u.RSS)/(1<<20), processes(u.Processes))
				}
			}
			if list, err := t.manager.Ports(c.Scope, p.ID); err == nil && len(list) > 0 {
				shown.Ports = ports(list)
				text.WriteString(", listens on " + numbers(list))
			}
		}
		result.Processes = append(result.Processes, shown)
		if p.Label != "" {
			fmt.Fprintf(&text, "  [%s]", clip(p.Label))
		}
		fmt.Fprintf(&text, "  %s\n", clip(p.Command))
	}
	if omitted > 0 {
		fmt.Fprintf(&text, "%d more; set limit to see them.", omitted)
	}
	return answer{text.String(), &result}, nil
}

// ports puts the lowest into the terms of the schema: a process may listen on
// thousands.
func ports(list []procmgr.Port) (shown []schemas.Port) {
	const most = 64
	for _, p := range list[:min(len(list), most)] {
		shown = append(shown, schemas.Port(p))
	}
	return shown
}

// numbers names the lowest ports, each once.
func numbers(list []procmgr.Port) string {
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
