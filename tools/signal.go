package tools

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/schemas"
)

const (
	// spareSignals is how many calls beyond the limits may signal processes: a chat
	// that has reached them must be able to end what it waits for.
	spareSignals = 16

	defaultSignalWait = time.Second
	shortSignalWait   = 100 * time.Millisecond // of signals that are not meant to end a process
	// lookTime is how much of its wait a call that signals all processes keeps to look
	// for what survived, at most a quarter. leastLookTime is how long it looks at least.
	lookTime, leastLookTime = 200 * time.Millisecond, 50 * time.Millisecond
)

func signalTool() Definition {
	return define(signalName, "End or signal a process", strings.TrimSpace(`
End a process and all that it forked, daemons included. Prefer terminate with grace_ms 5000: it asks, then kills what is left. Waits for the end up to wait_ms and names what survived. Name one process_id, or set all to end everything of this chat.`),
		Hints{Destructive: true, Idempotent: true})
}

// signal delivers the signal also if the call is cancelled: only the wait ends then.
func (c *Call) signal(ctx context.Context, in schemas.SignalInput) (answer, error) {
	if in.All == (in.ProcessID != "") {
		return answer{}, errTarget
	}
	s := delivery{sig: procmgr.Signal(in.Signal), grace: procmgr.NoGrace}
	if in.GraceMS != nil {
		s.grace = milliseconds(*in.GraceMS)
		if s.sig != procmgr.SignalTerminate {
			return answer{}, errGraceWithKill
		}
	}
	wait := defaultSignalWait
	if !endsProcesses(s.sig) {
		wait = shortSignalWait
	}
	wait = c.waitTime(in.WaitMS, wait)
	if in.All {
		ends, pending := c.signalAll(ctx, wait, s)
		return c.signalAnswer(in, ends, pending, c.noteReach(c.processes().Strays(), "processes of this chat")), nil
	}
	waitCtx, cancel := c.limit(ctx, wait)
	defer cancel()
	h, err := c.find(in.ProcessID)
	if err != nil {
		return answer{}, err
	}
	stop, resume := c.reportProgress(ctx, h), c.pause()
	end, err := s.to(waitCtx, context.Background(), h)
	stop()
	resume()
	strays := h.Strays()
	if errors.Is(err, procmgr.ErrNotRunning) && !strays.None() {
		return answer{}, &hiding{err, strayWords(strays, "it")}
	}
	if err != nil {
		return answer{}, err
	}
	if end.p.State.Running() {
		strays = procmgr.Strays{} // a kill comes first
	}
	c.reportExit(ctx, h, end.p)
	return c.signalAnswer(in, []ending{end}, 0, c.noteReach(strays, "it")), nil
}

// endsProcesses reports whether a signal is sent to end a process.
func endsProcesses(sig procmgr.Signal) bool {
	switch sig {
	case procmgr.SignalUser1, procmgr.SignalUser2, procmgr.SignalStop, procmgr.SignalContinue:
		return false
	}
	return true
}

// delivery is a signal that is to be delivered.
type delivery struct {
	sig   procmgr.Signal
	grace time.Duration
}

// ending is what became of a process that was signalled.
type ending struct {
	h         procmgr.Handle
	p         procmgr.Process
	survivors []procmgr.Member
	unseen    bool // what is left alive cannot be seen
	escapes   bool // what left the kill domain may live on
}

// to signals one process and waits for its end, at most until waiting ends. It then
// looks for what is left, unless looking has ended.
func (s delivery) to(waiting, looking context.Context, h procmgr.Handle) (e ending, err error) {
	reach, err := h.Signal(s.sig, s.grace)
	if err != nil {
		return ending{}, err
	}
	// A process that ignores the signal is no error: the answer shows its state and
	// its survivors.
	_ = h.WaitGone(waiting)
	if looking.Err() != nil {
		return ending{}, looking.Err()
	}
	survivors, err := h.Survivors()
	return ending{h, h.Snapshot(), survivors, err != nil, reach.Escapes}, nil
}

// signalAll signals every process of the chat of which something is alive. pending
// counts those that it could not signal and look at within the wait: their signals are
// delivered after the answer.
func (c *Call) signalAll(ctx context.Context, wait time.Duration, s delivery) (ends []ending, pending int) {
	type result struct {
		i   int
		end ending
		err error
	}
	handles, _ := c.processes().Handles(procmgr.FilterRunning, allOfChat)
	waiting, stopWaiting := c.limit(ctx, wait-min(lookTime, wait/4))
	defer stopWaiting()
	looking, stopLooking := c.limit(context.Background(), max(wait, leastLookTime))
	defer stopLooking()
	results := make(chan result, len(handles))
	resume := c.pause()
	for i, h := range handles {
		c.t.background.Go(func() {
			end, err := s.to(waiting, looking, h)
			if err != nil && !errors.Is(err, procmgr.ErrNotRunning) && !errors.Is(err, context.Canceled) {
				c.logger().Warn("signal refused", "process_id", h.ID(), "error", err)
			}
			results <- result{i, end, err}
		})
	}
	byIndex := map[int]ending{}
	for pending = len(handles); pending > 0 && looking.Err() == nil; {
		select {
		case r := <-results:
			switch {
			case errors.Is(r.err, context.Canceled):
				continue // it was not looked at any more
			case r.err == nil:
				byIndex[r.i] = r.end
			case !errors.Is(r.err, procmgr.ErrNotRunning):
				c.note("Process %s: %s", handles[r.i].ID(), words(signalName, r.err))
			}
			pending--
		case <-looking.Done():
		}
	}
	resume()
	for _, i := range slices.Sorted(maps.Keys(byIndex)) {
		c.reportExit(ctx, byIndex[i].h, byIndex[i].p)
		ends = append(ends, byIndex[i])
	}
	return ends, pending
}

// signalAnswer says what became of the processes that were signalled. pending is how
// many others the answer does not wait for. strays reports whether something may be left
// that nothing leads to.
func (c *Call) signalAnswer(in schemas.SignalInput, ends []ending, pending int, strays bool) answer {
	result := schemas.SignalResult{KillDomain: string(c.t.manager.KillDomain()), Survivors: []schemas.Survivor{}, Running: pending > 0}
	if in.All {
		result.Processes = []schemas.Process{}
	}
	var text strings.Builder
	unseen, escapes, remote := false, false, map[string]bool{}
	for _, end := range ends {
		p := listed(end.p)
		if in.All {
			result.Processes = append(result.Processes, p)
		} else {
			result.Process = &p
		}
		result.Running = result.Running || p.Running
		unseen, escapes = unseen || end.unseen, escapes || end.escapes
		if end.p.Remote != "" {
			remote[end.p.Remote] = true
		}
		fmt.Fprintf(&text, "Process %s: %s\n", p.ProcessID, status(end.p))
		for _, m := range end.survivors {
			result.Survivors = append(result.Survivors, schemas.Survivor{
				ProcessID: p.ProcessID, Pid: m.Pid, Command: m.Command, State: m.State,
			})
			fmt.Fprintf(&text, "  still alive: pid %d, %s, state %s\n", m.Pid, excerpt(m.Command), m.State)
		}
	}
	if pending > 0 {
		c.note("%d more get the signal too, but this answer does not wait for them; process_list shows how they stand.", pending)
	}
	if unseen {
		c.note("What is left alive cannot be seen: the system does not show its processes.")
	}
	for _, name := range slices.Sorted(maps.Keys(remote)) {
		c.note("The launcher %s runs commands elsewhere; the signal went to the launcher, and what it started there may live on.", excerpt(name))
	}
	result.Notes = c.notes
	writeNotes(&text, c.notes)
	switch {
	case len(ends) == 0 && pending == 0 && strays:
		text.WriteString("Nothing that is known to be of this chat is alive, so nothing was signalled.\n")
	case len(ends) == 0 && pending == 0:
		text.WriteString("Nothing of this chat is alive, so nothing was signalled.\n")
	case unseen:
	case in.Signal == string(procmgr.SignalStop):
		text.WriteString("What is alive stands still until process_signal continue.\n")
	case !result.Running && len(result.Survivors) == 0 && len(remote) > 0:
		text.WriteString("Nothing is left alive here.\n")
	case !result.Running && len(result.Survivors) == 0 && strays:
		text.WriteString("Nothing that is known to be its own is left alive.\n")
	case !result.Running && len(result.Survivors) == 0 && escapes:
		text.WriteString("Nothing is left alive in its process group; what has left the group may live on.\n")
	case !result.Running && len(result.Survivors) == 0:
		text.WriteString("Nothing is left alive.\n")
	case in.Signal == string(procmgr.SignalTerminate) && in.GraceMS == nil:
		text.WriteString("It was asked to end. Wait with process_output, or call process_signal with kill.\n")
	default:
		text.WriteString("Wait with process_output, or call process_signal again.\n")
	}
	return answer{strings.TrimRight(text.String(), "\n"), &result}
}
