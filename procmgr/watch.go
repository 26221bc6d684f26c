package procmgr

import (
	"context"
	"time"

	"github.com/proctor-mcp/proctor/procmgr/output"
)

// A process that may wait for input is looked at when it has written nothing for
// firstLook, then less and less often, but every lastLook. The kernel does not report
// when a process begins to wait.
const firstLook, lastLook = 100 * time.Millisecond, time.Second

// watcher watches for one condition.
type watcher struct {
	result WaitResult
	// check reports whether the condition holds, or else when to check again. An error
	// ends the wait: the context has ended before the condition was checked.
	check func(context.Context, moment) (holds bool, next nextCheck, err error)
}

// moment is what watchers see of a process.
type moment struct {
	now       time.Time
	ended     bool
	total     int64     // bytes of output
	lastWrite time.Time // of output, or else the start of the process
}

// nextCheck is when to check a condition again that does not hold. At the exit, all are
// checked.
type nextCheck struct {
	output bool          // when there is more output
	after  time.Duration // after so much time, unless it is 0
}

// or returns when to check two conditions again.
func (n nextCheck) or(other nextCheck) nextCheck {
	if n.after == 0 || other.after > 0 && other.after < n.after {
		n.after = other.after
	}
	n.output = n.output || other.output
	return n
}

// watchOutput watches for output behind an offset.
func watchOutput(behind int64) watcher {
	return watcher{WaitNewOutput, func(_ context.Context, at moment) (bool, nextCheck, error) {
		return at.total > behind, nextCheck{output: true}, nil
	}}
}

// watchExit watches for the exit.
func watchExit() watcher {
	return watcher{WaitExited, func(_ context.Context, at moment) (bool, nextCheck, error) {
		return at.ended, nextCheck{}, nil
	}}
}

// watchIdle watches for so much time without output, counted from since at the earliest.
func watchIdle(idle time.Duration, since time.Time) watcher {
	return watcher{WaitIdle, func(_ context.Context, at moment) (bool, nextCheck, error) {
		if at.lastWrite.After(since) {
			since = at.lastWrite
		}
		left := idle - at.now.Sub(since)
		return left <= 0, nextCheck{after: left}, nil
	}}
}

// watchInput watches for a process that waits for input.
func watchInput(waits func() bool) watcher {
	pause := firstLook
	return watcher{WaitAsks, func(_ context.Context, at moment) (bool, nextCheck, error) {
		if left := firstLook - at.now.Sub(at.lastWrite); left > 0 {
			pause = firstLook
			return false, nextCheck{after: left}, nil
		}
		next := nextCheck{after: pause}
		pause = min(2*pause, lastLook)
		return waits(), next, nil
	}}
}

// finder finds the first line from an offset on, as [output.Store.Find] does.
type finder func(ctx context.Context, cursor int64) (line output.Line, found bool, next, missing int64, err error)

// watchLines watches for a line that begins at an offset or behind it. It writes what it
// has found to waited.
func watchLines(cursor int64, find finder, waited *Waited) watcher {
	return watcher{WaitMatch, func(ctx context.Context, at moment) (bool, nextCheck, error) {
		for cursor < at.total {
			line, found, next, missing, err := find(ctx, cursor)
			waited.Lost += missing
			if found || err != nil {
				waited.Line = line
				return found, nextCheck{}, err
			}
			if next == cursor {
				break // the last line is not whole
			}
			cursor = next
		}
		return false, nextCheck{output: true}, nil
	}}
}
