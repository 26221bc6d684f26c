package procmgr

import (
	"log/slog"
	"sync"
	"time"

	"github.com/coder/quartz"

	"github.com/proctor-mcp/proctor/procmgr/output"
)

// Process is what is known of a process at one moment. It is a copy.
type Process struct {
	ID         string // a random UUID; never a pid
	Scope      Scope
	Command    string // as given, or the argv joined by blanks
	Dir        string // the working directory
	Label      string
	Background bool
	StartedAt  time.Time

	State     State
	Exit      Exit // of one that has ended
	Suspended bool // stopped by a signal
	// OutputOpen says that somebody can still write output: the command, or a
	// descendant that outlived it.
	OutputOpen bool
	// Descendants counts what lives on after the exit.
	Descendants int
	// Forgotten says that only this is left of it, and no output.
	Forgotten bool
}

// Exit is how a process ended.
type Exit struct {
	At     time.Time
	Code   int    // exit code; -1 when a signal ended it or nobody knows
	Signal string // the signal that ended it ("SIGKILL"), or ""
	Reason Reason
	Usage  Usage
}

// process is the live one. The first block never changes after started.
type process struct {
	id      string
	seq     uint64 // order of starts
	facts   Process
	log     *slog.Logger
	m       *Manager
	output  output.Buffer
	started chan struct{} // closed once engine and request are set: events wait for it
	engine  EngineProcess
	request *request      // the one that started it, or nil
	done    chan struct{} // closed last, when the exit can be read

	mu     sync.Mutex // guards the fields below
	state  State
	exit   Exit
	open   bool      // output may still come
	cause  Reason    // of the last request to end, "" without one
	ended  time.Time // when the exit was announced, by the manager's clock
	told   bool      // an answer has told the exit
	timers timers
}

// timers are a process's pending events; nil where there is none.
type timers struct{ limit, grace, forget *quartz.Timer }

func (t timers) stop() {
	for _, timer := range []*quartz.Timer{t.limit, t.grace, t.forget} {
		if timer != nil {
			timer.Stop()
		}
	}
}

// snapshot returns what is known now.
func (p *process) snapshot() Process {
	p.mu.Lock()
	s := p.facts
	s.State, s.Exit, s.OutputOpen = p.state, p.exit, p.open
	p.mu.Unlock()
	if s.State.Running() {
		s.Suspended = p.engine.Suspended()
	} else {
		s.Descendants = len(p.engine.Members())
	}
	return s
}

// lives says that something of it can still run or write.
func (p *process) lives() bool {
	p.mu.Lock()
	lives := p.state.Running() || p.open
	p.mu.Unlock()
	return lives || len(p.engine.Members()) > 0
}

// exited is the event that the engine has seen the exit.
func (p *process) exited(e EngineExit) {
	<-p.started
	p.mu.Lock()
	p.exit = Exit{At: e.At, Code: e.Code, Signal: e.Signal, Usage: e.Usage, Reason: ReasonExited}
	to := StateExited
	switch {
	case e.Lost:
		to, p.exit.Code, p.exit.Reason = StateLost, -1, ReasonLost
	case p.cause != "":
		p.exit.Reason = p.cause
	case e.Signal != "":
		p.exit.Reason = ReasonSignaled
	}
	p.transitionLocked(to)
	p.ended = p.m.opts.Clock.Now()
	if p.timers.limit != nil {
		p.timers.limit.Stop()
	}
	exit := p.exit
	p.mu.Unlock()

	p.scheduleForget(MaxKeep)
	if e.Lost {
		p.log.Warn("exit status was taken by another part of the program")
	}
	p.log.Info("process ended", "exit_code", exit.Code, "signal", exit.Signal, "reason", string(exit.Reason),
		"duration", exit.At.Sub(p.facts.StartedAt).Round(time.Millisecond), "output_bytes", p.output.Total())
	close(p.done)
}

// outputClosed is the event that no more output will come.
func (p *process) outputClosed() {
	<-p.started
	p.mu.Lock()
	p.open = false
	p.mu.Unlock()
	p.m.dropAbandoned(p)
}

// stopRequested is the event that somebody asked the process to end. grace, if
// it is not negative, is when a kill follows.
func (p *process) stopRequested(why Reason, grace time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state.Running() {
		p.cause = why
		if p.state == StateRunning {
			p.transitionLocked(StateStopping)
		}
	}
	if grace >= 0 {
		if p.timers.grace != nil {
			p.timers.grace.Stop()
		}
		p.timers.grace = p.m.opts.Clock.AfterFunc(grace, p.graceElapsed, "grace")
	}
}

// graceElapsed is the event that a request to end was not obeyed in time. The
// leader may have obeyed and left others behind, so nothing but an empty group
// is an answer.
func (p *process) graceElapsed() {
	if p.engine.Signal(SignalKill) == nil {
		p.log.Info("killed after grace")
	}
}

// limitElapsed is the event that the process has reached its time limit.
func (p *process) limitElapsed() {
	p.stopRequested(ReasonTimeout, p.m.opts.Grace)
	if err := p.engine.Signal(SignalTerminate); err == nil {
		p.log.Info("time limit reached")
	}
}
