package procmgr

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/proctor-mcp/proctor/procmgr/output"
)

// Condition says what to wait for beside the exit: any one of what is set.
type Condition struct {
	// Match is looked for in the lines of the output that begin at Cursor or later.
	Match  *output.Pattern
	Cursor int64
	// NewOutput is output behind the offset Behind.
	NewOutput bool
	Behind    int64
	// Idle is how long nothing was written, since Since at the earliest. 0 is not
	// waited for.
	Idle  time.Duration
	Since time.Time
	// Asks is that the process waits for [Manager.Input], as Process.WaitsForInput
	// tells, and has written nothing for a tenth of a second.
	Asks bool
	// Port is one on which a process of the kill domain listens. 0 is none.
	Port int
	// Probes ask for more.
	Probes []Probe
}

// Whether a process waits for input is looked for when it has written nothing for so
// long, and then ever less often: the kernel does not tell when one begins to.
const firstLook, lastLook = 100 * time.Millisecond, time.Second

// Probe asks for something that only its asker knows.
type Probe struct {
	Result WaitResult // what the wait has come to when it is so
	// Ready returns nil when it is so. It ends with its context, and then says what
	// was missing.
	Ready func(context.Context) error
}

// WaitResult says what a wait has come to.
type WaitResult string

const (
	WaitExited    WaitResult = "exited"
	WaitMatch     WaitResult = "output_matches"
	WaitNewOutput WaitResult = "new_output"
	WaitIdle      WaitResult = "idle"
	WaitAsks      WaitResult = "waiting_for_input"
	WaitPort      WaitResult = "port_open"
	WaitOver      WaitResult = "timeout" // the context has ended before
)

// Waited is how a wait has ended.
type Waited struct {
	Result WaitResult
	Line   output.Line // the one that matched
	// Lost is how many bytes of output were not looked at for Match: they were no
	// longer kept.
	Lost int64
	// Missing is what the probes that were not ready have returned.
	Missing []error
}

// Wait is [Handle.Wait].
func (m *Manager) Wait(ctx context.Context, scope Scope, id string) error {
	h, err := m.In(scope).Find(id)
	if err != nil {
		return err
	}
	return h.Wait(ctx)
}

// WaitFor is [Handle.WaitFor].
func (m *Manager) WaitFor(ctx context.Context, scope Scope, id string, w Condition) (Waited, error) {
	h, err := m.In(scope).Find(id)
	if err != nil {
		return Waited{}, err
	}
	return h.WaitFor(ctx, w), nil
}

// Wait returns nil once the process has ended, or the context's error.
func (h Handle) Wait(ctx context.Context) error {
	p := h.p
	if p.ended() {
		return nil
	}
	defer p.await()()
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// WaitFor waits for the exit, for any of a condition, or for the end of the context,
// and says which came. What the output says counts before the exit.
func (h Handle) WaitFor(ctx context.Context, w Condition) (waited Waited) {
	p := h.p
	defer p.await()()
	if w.Port != 0 {
		w.Probes = append(slices.Clip(w.Probes), Probe{WaitPort, func(ctx context.Context) error { return p.listens(ctx, w.Port) }})
	}
	var probes sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	ready := make(chan WaitResult, len(w.Probes))
	missing := make([]error, len(w.Probes))
	for i, probe := range w.Probes {
		probes.Go(func() {
			if missing[i] = probe.Ready(ctx); missing[i] == nil {
				ready <- probe.Result
			}
		})
	}
	waited = p.waitFor(ctx, w, ready)
	cancel()
	probes.Wait()
	waited.Missing = slices.DeleteFunc(missing, func(err error) bool { return err == nil })
	return waited
}

// waitFor waits until something of w is so, or a probe is ready.
func (p *process) waitFor(ctx context.Context, w Condition, ready <-chan WaitResult) (waited Waited) {
	end := func(result WaitResult) Waited {
		waited.Result = result
		return waited
	}
	cursor := w.Cursor
	w.Asks = w.Asks && p.takesInput()
	pause := firstLook
	for {
		// In this order: what was written before the exit is there when it is told.
		ended := p.ended()
		total, written, more := p.output.Changed()
		if w.Match != nil && cursor < total {
			line, found, next, lost, err := p.scan(ctx, w.Match, cursor)
			waited.Lost += lost
			switch {
			case err != nil:
				return end(WaitOver)
			case found:
				waited.Line = line
				return end(WaitMatch)
			case next > cursor && next < total:
				cursor = next
				continue
			}
			cursor = next
		}
		if w.NewOutput && total > w.Behind {
			return end(WaitNewOutput)
		}
		if ended {
			return end(WaitExited)
		}
		var quiet <-chan time.Time
		if w.Idle > 0 {
			left := w.Idle - time.Since(latest(w.Since, latest(written, p.facts.StartedAt)))
			if left <= 0 {
				return end(WaitIdle)
			}
			quiet = time.After(left)
		}
		var look <-chan time.Time
		if w.Asks {
			left := firstLook - time.Since(latest(written, p.facts.StartedAt))
			switch {
			case left > 0: // it has written since
				pause = firstLook
			case p.waitsForInput() != "":
				return end(WaitAsks)
			default:
				left, pause = pause, min(2*pause, lastLook)
			}
			look = time.After(left)
		}
		if w.Match == nil && !w.NewOutput {
			more = nil // the exit is heard of, and silence looked for when it is time
		}
		select {
		case <-more:
		case <-quiet:
		case <-look:
		case <-p.done:
		case result := <-ready:
			return end(result)
		case <-ctx.Done():
			return end(WaitOver)
		}
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// listens waits until something of the process listens on a port. The error is
// [errors.ErrUnsupported] at once where that cannot be seen.
func (p *process) listens(ctx context.Context, port int) error {
	const first, last = 20 * time.Millisecond, 500 * time.Millisecond
	for pause := first; ; pause = min(2*pause, last) {
		ports, err := p.launcher.ports(p.spawned)
		if errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		for _, open := range ports {
			if open.Port == port {
				return nil
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// scan looks through a part of the output, in turn by scope: an expression can
// cost more than the program that writes.
func (p *process) scan(ctx context.Context, pattern *output.Pattern, cursor int64) (line output.Line, found bool, next, lost int64, err error) {
	turn, err := p.m.scans.Turn(ctx, p.facts.Scope)
	if err != nil {
		return line, false, cursor, 0, err
	}
	defer turn.Leave()
	line, found, next, lost = p.output.Find(pattern, cursor)
	return line, found, next, lost, nil
}
