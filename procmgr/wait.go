package procmgr

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/proctor-mcp/proctor/procmgr/output"
)

// Wait returns nil once the process has ended, or the context's error.
func (h Handle) Wait(ctx context.Context) error {
	if h.p.hasEnded() {
		return nil
	}
	defer h.p.await()()
	select {
	case <-h.p.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// WaitGone returns nil once the process and all that it forked have ended, or the
// context's error.
func (h Handle) WaitGone(ctx context.Context) error { return h.p.awaitGone(ctx) }

// WaitFor waits for the exit, for any part of a condition, or for the end of the context,
// and returns which came first. Conditions on the output come before the exit.
func (h Handle) WaitFor(ctx context.Context, c Condition) (waited Waited) {
	defer h.p.await()()
	var watchers []watcher // the first one whose condition holds ends the wait
	if c.Match != nil {
		watchers = append(watchers, watchLines(c.Cursor, h.finder(c.Match), &waited))
	}
	if c.NewOutput {
		watchers = append(watchers, watchOutput(c.Behind))
	}
	watchers = append(watchers, watchExit())
	if c.Idle > 0 {
		since := time.Time{}
		if c.IdleFromNow {
			since = h.m.opts.Clock.Now()
		}
		watchers = append(watchers, watchIdle(c.Idle, since))
	}
	if c.Asks && h.p.showsInputWait() {
		watchers = append(watchers, watchInput(func() bool { return h.p.waitsForInput() != "" }))
	}

	probes := c.Probes
	if c.Port != 0 {
		probes = append(slices.Clip(probes), Probe{WaitPort, func(ctx context.Context) error { return h.listens(ctx, c.Port) }})
	}
	ctx, cancel := context.WithCancel(ctx)
	ready := make(chan WaitResult, len(probes))
	missing := make([]error, len(probes))
	var running sync.WaitGroup
	for i, probe := range probes {
		running.Go(func() {
			if missing[i] = probe.Ready(ctx); missing[i] == nil {
				ready <- probe.Result
			}
		})
	}
	waited.Result = h.watch(ctx, watchers, ready)
	cancel()
	running.Wait()
	waited.Missing = slices.DeleteFunc(missing, func(err error) bool { return err == nil })
	return waited
}

// watch waits until a watcher's condition holds, a probe is ready, or ctx ends.
func (h Handle) watch(ctx context.Context, watchers []watcher, ready <-chan WaitResult) WaitResult {
	for {
		// In this order: when the exit is seen, all that was written before it is there.
		ended := h.p.hasEnded()
		total, lastWrite, more := h.p.activity()
		at := moment{h.m.opts.Clock.Now(), ended, total, lastWrite}
		var next nextCheck
		for _, w := range watchers {
			holds, again, err := w.check(ctx, at)
			switch {
			case err != nil:
				return WaitOver
			case holds:
				return w.result
			}
			next = next.or(again)
		}
		if !next.output {
			more = nil
		}
		result, over := h.sleep(ctx, next.after, more, ready)
		if over {
			return result
		}
	}
}

// sleep waits until a condition may hold. It reports whether the wait is over instead, and
// with which result.
func (h Handle) sleep(ctx context.Context, after time.Duration, more <-chan struct{}, ready <-chan WaitResult) (result WaitResult, over bool) {
	var elapsed <-chan time.Time
	if after > 0 {
		timer := h.m.opts.Clock.NewTimer(after, "wait")
		defer timer.Stop()
		elapsed = timer.C
	}
	select {
	case <-more:
	case <-elapsed:
	case <-h.p.ended:
	case result := <-ready:
		return result, true
	case <-ctx.Done():
		return WaitOver, true
	}
	return "", false
}

// finder returns a function that finds a pattern in the output. Scopes take turns: an
// expression can take more time than the program that writes.
func (h Handle) finder(pattern *output.Pattern) finder {
	return func(ctx context.Context, cursor int64) (line output.Line, found bool, next, missing int64, err error) {
		turn, err := h.m.scans.Turn(ctx, h.p.facts.Scope)
		if err != nil {
			return line, false, cursor, 0, err
		}
		defer turn.Leave()
		line, found, next, missing = h.p.output.Find(pattern, cursor)
		return line, found, next, missing, nil
	}
}

// listens waits until something of the process listens on a port. It returns
// [errors.ErrUnsupported] at once where that cannot be seen.
func (h Handle) listens(ctx context.Context, port int) error {
	const first, last = 20 * time.Millisecond, 500 * time.Millisecond
	for pause := first; ; pause = min(2*pause, last) {
		ports, err := h.Ports()
		if errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		if slices.ContainsFunc(ports, func(open Port) bool { return open.Port == port }) {
			return nil
		}
		timer := h.m.opts.Clock.NewTimer(pause, "port")
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}
