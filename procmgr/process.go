package procmgr

import (
	"context"
	"log/slog"
	"time"

	"github.com/coder/quartz"

	"github.com/proctor-mcp/proctor/procmgr/lockorder"
	"github.com/proctor-mcp/proctor/procmgr/output"
	"github.com/proctor-mcp/proctor/procmgr/spawn"
)

// likelyIdle is how long a process that polls its input must have written nothing to
// count as waiting for input.
const likelyIdle = 500 * time.Millisecond

// process is what the manager knows of a process. A process has ended when its command
// has, and is gone when nothing that it forked is alive either.
//
// The first block does not change once the process is followed.
type process struct {
	facts    Facts
	seq      uint64 // its place in the order of starts
	opts     *Options
	log      *slog.Logger
	owner    owner
	output   output.Store
	launcher launcher
	spawned  *spawn.Process
	ended    chan struct{} // closed when the exit can be read
	gone     chan struct{} // closed when the process is gone

	goneSeq uint64 // its place in the order in which processes were gone, 0 before; guarded by Manager.mu

	mu     lockorder.Mutex[processPlace] // guards the fields below
	life   life
	shown  shown
	sizes  []Resize // of its terminal; the array is never changed
	timers timers
}

type processPlace struct{}

func (processPlace) Place() (int, bool) { return 210, false }

// owner is the manager as a process sees it. No method is called under process.mu.
type owner interface {
	// ending is called just before the exit can be read.
	ending(*process)
	// wentAway is called when the process is gone. It closes process.gone.
	wentAway(*process)
	// later runs a function that may block in a goroutine.
	later(func())
}

// shown is what answers have shown of a process.
type shown struct {
	exit    bool  // an answer has reported the exit
	waiters int   // calls that wait for the exit and will report it
	next    int64 // offset up to which the output was shown
	repeats int   // how many times in a row nothing new was shown
}

// timers are the pending events of a process, or nil.
type timers struct{ limit, grace, forget *quartz.Timer }

func (t timers) stop() {
	for _, timer := range []*quartz.Timer{t.limit, t.grace, t.forget} {
		stopTimer(timer)
	}
}

func stopTimer(t *quartz.Timer) {
	if t != nil {
		t.Stop()
	}
}

func newProcess(opts *Options, owner owner, log *slog.Logger, facts Facts) *process {
	return &process{
		facts: facts, opts: opts, owner: owner, log: log,
		ended: make(chan struct{}), gone: make(chan struct{}),
		life: life{state: StateRunning, outputOpen: true},
	}
}

// newForgotten returns a process of which only a snapshot is left.
func newForgotten(opts *Options, owner owner, last Process) *process {
	p := newProcess(opts, owner, opts.Log, last.Facts)
	p.launcher = launcher{remote: last.Remote}
	p.life = life{state: last.State, exit: last.Exit, outputOpen: last.OutputOpen, forgotten: true}
	p.shown.exit, p.sizes = last.Reported, last.Sizes
	close(p.ended)
	close(p.gone)
	return p
}

// isAlive reports whether the process is not gone.
func (p *process) isAlive() bool { return !isClosed(p.gone) }

// hasEnded reports whether the exit can be read.
func (p *process) hasEnded() bool { return isClosed(p.ended) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// exited is the event that the command has ended.
func (p *process) exited(e spawn.Exit) {
	p.owner.ending(p)
	p.mu.Lock()
	p.life.end(e)
	stopTimer(p.timers.limit)
	exit := p.life.exit
	p.mu.Unlock()
	// A log may block. Calls that wait for the end are woken last and so run first.
	p.owner.later(func() { p.logExit(exit) })
	if e.Gone {
		p.descendantsGone(e.Usage)
	}
	close(p.ended)
}

func (p *process) logExit(exit Exit) {
	if exit.Reason == ReasonLost {
		p.log.Warn("another part of the program took the exit status")
	}
	how := slog.Int("exit_code", exit.Code)
	if exit.Signal != "" {
		how = slog.String("signal", exit.Signal)
	}
	p.log.Info("process ended", how, "reason", string(exit.Reason), "duration", exit.At.Sub(p.facts.StartedAt).Round(time.Millisecond), "output_bytes", p.output.Total())
}

// descendantsGone is the event that the process is gone.
func (p *process) descendantsGone(used Usage) {
	p.mu.Lock()
	p.life.exit.Gone, p.life.exit.Usage = true, used
	p.life.goneAt = p.opts.Clock.Now()
	stopTimer(p.timers.grace)
	p.mu.Unlock()
	p.owner.wentAway(p)
}

// outputClosed is the event that no more output will come.
func (p *process) outputClosed() {
	p.mu.Lock()
	p.life.outputOpen = false
	p.mu.Unlock()
}

// awaitGone returns nil once the process is gone, or the context's error.
func (p *process) awaitGone(ctx context.Context) error {
	select {
	case <-p.gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// release lets go of what a process holds: its timers, its open output, its kill domain.
func (p *process) release() {
	p.mu.Lock()
	p.timers.stop()
	p.mu.Unlock()
	p.spawned.Release()
}

// activity returns how many bytes the process has written, when it last wrote some (or
// started), and a channel that is closed when it writes more.
func (p *process) activity() (total int64, last time.Time, more <-chan struct{}) {
	total, last, more = p.output.Changed()
	if last.IsZero() {
		last = p.facts.StartedAt
	}
	return total, last, more
}

// waitsForInput returns how sure it is that the process waits for input at this
// moment.
func (p *process) waitsForInput() InputWait {
	if !p.showsInputWait() {
		return ""
	}
	wait, _ := p.spawned.WaitsForInput() // what cannot be seen is not reported
	if wait != spawn.InputPolled {
		return wait
	}
	if _, last, _ := p.activity(); p.opts.Clock.Since(last) < likelyIdle {
		return ""
	}
	return InputLikely
}

// showsInputWait reports whether it can be seen if the process waits for input.
func (p *process) showsInputWait() bool { return p.facts.KeepsInput && p.launcher.seesInput() }

// fillBrief fills in what is known at a time without a look through /proc. Snapshots are
// large and taken by the thousand, so that they are not copied.
func (p *process) fillBrief(s *Process, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Facts, s.At, s.State, s.Exit = p.facts, at, p.life.state, p.life.exit
	s.OutputOpen, s.Sizes, s.Reported, s.Forgotten = p.life.outputOpen, p.sizes, p.shown.exit, p.life.forgotten
}

// fill fills in what is known at a time. mayBeSuspended is whether a signal may have
// stopped the command.
func (p *process) fill(s *Process, at time.Time, mayBeSuspended bool) {
	p.fillBrief(s, at)
	if s.State.Running() {
		s.Suspended = mayBeSuspended && p.spawned.Suspended()
		s.WaitsForInput = p.waitsForInput()
	} else {
		s.Descendants = p.launcher.descendants(p.spawned, p.isAlive())
	}
}
