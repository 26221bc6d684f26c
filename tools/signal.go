package tools

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/schemas"
)

const (
	signalName = "process_signal"
	// spareSignals is how many calls beyond the limits may end processes: a chat
	// that has filled them must be able to end what it waits for.
	spareSignals = 16
)

func signalTool() mcp.Tool {
	return define(signalName, "End or signal a process", strings.TrimSpace(`
End a process and all that it forked, daemons included. Prefer terminate with grace_ms 5000: it asks, then kills what is left. Waits for the end up to wait_ms and names what survived. Name one process_id, or set all to end everything of this chat.`),
		hints(false, true, true, false))
}

func (t *Tools) signal(ctx context.Context, c *call, in schemas.SignalInput) (answer, error) {
	if in.All == (in.ProcessID != "") {
		return answer{}, errTarget
	}
	sig, grace := procmgr.Signal(in.Signal), procmgr.NoGrace
	if in.GraceMS != nil {
		grace = milliseconds(*in.GraceMS)
		if sig != procmgr.SignalTerminate {
			return answer{}, errGraceWithKill
		}
	}
	wait := defaultSignalWait
	if !mayEnd(sig) {
		wait = shortSignalWait
	}
	waitCtx, cancel := t.within(ctx, c, in.WaitMS, wait)
	defer cancel()

	if !in.All {
		c.attrs = append(c.attrs, "process_id", clip(in.ProcessID))
		stop, resume := t.report(ctx, c, in.ProcessID), t.pause(ctx, c)
		end, err := t.end(waitCtx, c, in.ProcessID, sig, grace)
		stop()
		resume()
		if err != nil {
			return answer{}, err
		}
		t.told(ctx, c, end.process)
		return t.signalled(c, in, end), nil
	}

	list, _ := t.manager.List(c.Scope, procmgr.FilterAll, allOfChat)
	ends := make([]*ending, len(list))
	errs := make([]error, len(list))
	resume := t.pause(ctx, c)
	var wg sync.WaitGroup
	for i, p := range list {
		if p.State.Running() || p.Descendants != 0 {
			wg.Go(func() { ends[i], errs[i] = t.end(waitCtx, c, p.ID, sig, grace) })
		}
	}
	wg.Wait()
	resume()
	var reached []*ending
	for i, end := range ends {
		switch err := errs[i]; {
		case end != nil:
			t.told(ctx, c, end.process)
			reached = append(reached, end)
		case err != nil && !errors.Is(err, procmgr.ErrNotRunning) && !errors.Is(err, procmgr.ErrNotFound):
			c.log().Warn("signal refused", "process_id", list[i].ID, "error", err)
			c.note("Process %s: %s", list[i].ID, words(signalName, err))
		}
	}
	return t.signalled(c, in, reached...), nil
}

// mayEnd says that a signal is sent for the sake of an end.
func mayEnd(sig procmgr.Signal) bool {
	switch sig {
	case procmgr.SignalUser1, procmgr.SignalUser2, procmgr.SignalStop, procmgr.SignalContinue:
		return false
	}
	return true
}

// allOfChat is more processes than a chat can have.
const allOfChat = 1 << 20

// ending is what became of a process that was signalled.
type ending struct {
	process   procmgr.Process
	survivors []procmgr.Member
	unseen    bool // what is left alive cannot be seen
}

// end signals one process and waits for what the signal asked for.
func (t *Tools) end(ctx context.Context, c *call, id string, sig procmgr.Signal, grace time.Duration) (*ending, error) {
	if err := t.manager.Signal(c.Scope, id, sig, grace); err != nil {
		return nil, err
	}
	// A process that ignores the signal, or a wait that is over, is no error:
	// the state and the survivors say it.
	_ = t.manager.WaitGone(ctx, c.Scope, id)
	survivors, survivorsErr := t.manager.Survivors(c.Scope, id)
	p, _, err := t.manager.Read(c.Scope, id)
	if err != nil {
		return nil, err
	}
	return &ending{p, survivors, survivorsErr != nil}, nil
}

func (t *Tools) signalled(c *call, in schemas.SignalInput, ends ...*ending) answer {
	result := schemas.SignalResult{KillDomain: string(t.manager.KillDomain()), Survivors: []schemas.Survivor{}}
	if in.All {
		result.Processes = []schemas.Process{}
	}
	var text strings.Builder
	unseen, remote := false, map[string]bool{}
	for _, end := range ends {
		p := inList(end.process)
		if in.All {
			result.Processes = append(result.Processes, p)
		} else {
			result.Process = &p
		}
		result.Running = result.Running || p.Running
		unseen = unseen || end.unseen
		if end.process.Remote != "" {
			remote[end.process.Remote] = true
		}
		fmt.Fprintf(&text, "Process %s: %s\n", p.ProcessID, status(end.process))
		for _, m := range end.survivors {
			result.Survivors = append(result.Survivors, schemas.Survivor{
				ProcessID: p.ProcessID, Pid: m.Pid, Command: m.Command, State: m.State,
			})
			fmt.Fprintf(&text, "  still alive: pid %d, %s, state %s\n", m.Pid, clip(m.Command), m.State)
		}
	}
	if unseen {
		c.note("What is left alive cannot be seen: the system does not show its processes.")
	}
	for _, name := range slices.Sorted(maps.Keys(remote)) {
		c.note("The launcher %s runs commands elsewhere; the signal went to the launcher, and what it started there may live on.", name)
	}
	result.Notes = c.notes
	writeNotes(&text, c.notes)
	switch {
	case len(ends) == 0:
		text.WriteString("Nothing of this chat is alive, so nothing was signalled.\n")
	case unseen:
	case in.Signal == string(procmgr.SignalStop):
		text.WriteString("What is alive stands still until process_signal continue.\n")
	case len(result.Survivors) == 0 && len(remote) > 0:
		text.WriteString("Nothing is left alive here.\n")
	case len(result.Survivors) == 0:
		text.WriteString("Nothing is left alive.\n")
	case in.Signal == string(procmgr.SignalTerminate) && in.GraceMS == nil:
		text.WriteString("It was asked to end. Wait with process_output, or call process_signal with kill.\n")
	default:
		text.WriteString("Wait with process_output, or call process_signal again.\n")
	}
	return answer{strings.TrimRight(text.String(), "\n"), &result}
}
