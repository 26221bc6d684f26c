package procmgr

import (
	"log/slog"
	"sync"
	"time"

	"github.com/coder/quartz"

	"github.com/proctor-mcp/proctor/procmgr/output"
	"github.com/proctor-mcp/proctor/procmgr/spawn"
)

// Facts are what never changes of a process.
type Facts struct {
	ID         string // a random UUID; never a pid
	Scope      Scope
	Command    string // as given, or the argv joined by blanks
	Dir        string // the working directory
	Label      string
	Background bool
	StartedAt  time.Time
	// KeepsInput reports whether it was started to be given input. TTY is the size
	// that its terminal had at the start; zero is no terminal.
	KeepsInput bool
	TTY        Size
	Split      bool // stdout and stderr have a pipe each
	// Remote names the launcher's program if that runs the command elsewhere, else
	// it is "". What is told of such a process is what became of the launcher.
	Remote string
}

// Process is what is known of a process at one moment. It is a copy.
type Process struct {
	Facts
	// At is when this was so, by the clock of the manager.
	At        time.Time
	State     State
	Exit      Exit // of one that has ended
	Suspended bool // stopped by a signal
	// OutputOpen says that somebody can still write output: the command, or a
	// descendant that outlived it.
	OutputOpen bool
	// Sizes are those that its terminal had, by where in the output they begin.
	Sizes []Resize
	// WaitsForInput is how sure it is that the process waits for input; "" if it does
	// not, or if that cannot be seen.
	WaitsForInput InputWait
	// Descendants counts what lives on after the exit; Unknown if it cannot be
	// seen, as of a remote one.
	Descendants int
	// Told says that an answer has told the exit.
	Told bool
	// Forgotten says that only this is left of it, and no output.
	Forgotten bool
}

// Unknown stands for a number that cannot be known.
const Unknown = -1

// Exit is how a process ended, and why.
type Exit struct {
	spawn.Exit
	Reason Reason
}

// process is the live one. The first block never changes once it is followed.
type process struct {
	seq      uint64 // order of starts
	facts    Facts
	log      *slog.Logger
	m        *Manager
	output   output.Store
	launcher launcher
	spawned  *spawn.Process
	request  *request      // the one that started it, or nil
	done     chan struct{} // closed when the exit can be read
	empty    chan struct{} // closed when it has ended and nothing that it forked is alive

	endSeq uint64 // its place in the order of such ends, 0 before; guarded by Manager.mu

	mu     sync.Mutex // guards the fields below
	state  State
	exit   Exit
	open   bool      // output may still come
	cause  Reason    // of the last request to end, "" without one
	sent   string    // name of the last other signal that may end it, "" without one
	kept   time.Time // since when it is kept only to be read, by the manager's clock; zero before
	told   bool      // an answer has told the exit
	awaits int       // calls that wait for it, and will tell
	looked looked
	sizes  []Resize // of its terminal; a list that is here is not changed
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
func (p *process) snapshot() Process { return p.look(p.m.spawner.AnySuspended()) }

// look returns what is known now. suspended says that it may be suspended.
func (p *process) look(suspended bool) Process {
	p.mu.Lock()
	s := Process{
		Facts: p.facts, At: p.m.opts.Clock.Now(), State: p.state, Exit: p.exit,
		OutputOpen: p.open, Sizes: p.sizes, Told: p.told,
	}
	p.mu.Unlock()
	switch {
	case s.State.Running():
		s.Suspended = suspended && p.spawned.Suspended()
		s.WaitsForInput = p.waitsForInput()
	case p.launcher.remote != "" || p.lives():
		s.Descendants = p.launcher.descendants(p.spawned)
	}
	return s
}

// lives says that something of it is alive: the command or what it forked.
func (p *process) lives() bool {
	select {
	case <-p.empty:
		return false
	default:
		return true
	}
}

// ended says that the exit can be read.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// exited is the event that the command has ended.
func (p *process) exited(e spawn.Exit) {
	p.m.mu.Lock() // who sees that it has ended finds it among what is not told
	p.mu.Lock()
	p.exit = Exit{e, ReasonExited}
	to := StateExited
	switch {
	case e.Lost:
		to, p.exit.Reason = StateLost, ReasonLost
	case p.cause != "":
		p.exit.Reason = p.cause
	case killedByLimit(e) != "":
		p.exit.Reason = killedByLimit(e)
	case e.Signal != "" && e.Signal == p.sent:
		p.exit.Reason = ReasonRequested
	case e.Signal != "":
		p.exit.Reason = ReasonSignaled
	}
	p.transitionLocked(to)
	if p.timers.limit != nil {
		p.timers.limit.Stop()
	}
	exit := p.exit
	p.mu.Unlock()
	p.m.untoldExitLocked(p)
	p.m.mu.Unlock()
	// The spawner has others to look after, and a log may block. Who waits for the
	// end is woken last and so runs first.
	p.m.logging.Go(func() { p.logExit(exit) })
	if e.Empty {
		p.emptied(e.Usage)
	}
	close(p.done)
}

func (p *process) logExit(exit Exit) {
	if exit.Reason == ReasonLost {
		p.log.Warn("exit status was taken by another part of the program")
	}
	how := slog.Int("exit_code", exit.Code)
	if exit.Signal != "" {
		how = slog.String("signal", exit.Signal)
	}
	p.log.Info("process ended", how, "reason", string(exit.Reason), "duration", exit.At.Sub(p.facts.StartedAt).Round(time.Millisecond), "output_bytes", p.output.Total())
}

// killedByLimit returns the reason if a limit has ended a command: the kernel has
// killed it, or what it waited for last, as a shell tells by 128 and the signal.
func killedByLimit(e spawn.Exit) Reason {
	const killed = 128 + 9
	if e.Signal != "SIGKILL" && e.Code != killed {
		return ""
	}
	for _, l := range e.Limits {
		if l == LimitMemory || l == LimitMemoryPerScope {
			return Reason(l)
		}
	}
	return ""
}

// emptied is the event that nothing of the process is alive any more. From here
// on it is kept only to be read.
func (p *process) emptied(used Usage) {
	p.mu.Lock()
	p.exit.Empty, p.exit.Usage = true, used
	p.kept = p.m.opts.Clock.Now()
	if p.timers.grace != nil {
		p.timers.grace.Stop()
	}
	p.mu.Unlock()
	surplus := p.m.finished(p)
	p.scheduleForget()
	if surplus != nil {
		p.m.logging.Go(surplus.forgotten)
	}
}

// outputClosed is the event that no more output will come.
func (p *process) outputClosed() {
	p.mu.Lock()
	p.open = false
	p.mu.Unlock()
}

// signal sends sig to the kill domain.
func (p *process) signal(sig Signal) error { return p.m.opts.testSignal(p.spawned, sig) }

// stop sends sig because of why. grace, if it is not negative, is when a kill
// follows.
func (p *process) stop(sig Signal, why Reason, grace time.Duration) error {
	// The request comes first: the exit may follow the signal at once, and its
	// reason must be right.
	before := p.stopRequested(why)
	if err := p.signal(sig); err != nil {
		p.stopFailed(before)
		return err
	}
	if grace >= 0 {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.timers.grace != nil {
			p.timers.grace.Stop()
		}
		p.timers.grace = p.m.opts.Clock.AfterFunc(grace, p.graceElapsed, "grace")
	}
	return nil
}

// stopping is what a request to end changes.
type stopping struct {
	state State
	cause Reason
}

// stopRequested is the event that somebody asks the process to end. It returns
// what was before. A command whose exit was seen ended by itself, whatever is
// asked of its descendants.
func (p *process) stopRequested(why Reason) (before stopping) {
	ended := p.spawned.Ended()
	p.mu.Lock()
	defer p.mu.Unlock()
	before = stopping{p.state, p.cause}
	if p.state.Running() && !ended {
		p.cause = why
		if p.state == StateRunning {
			p.transitionLocked(StateStopping)
		}
	}
	return before
}

// stopFailed is the event that a request to end could not be delivered.
func (p *process) stopFailed(before stopping) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.state.Running() {
		return
	}
	p.cause = before.cause
	if p.state == StateStopping && before.state == StateRunning {
		p.transitionLocked(StateRunning)
	}
}

// graceElapsed is the event that a request to end was not obeyed in time. The
// leader may have obeyed and left others behind, so nothing but an empty group
// is an answer.
func (p *process) graceElapsed() {
	if p.signal(SignalKill) == nil {
		p.log.Info("killed after grace")
	}
}

// limitElapsed is the event that the process has reached its time limit.
func (p *process) limitElapsed() {
	if p.spawned.Ended() {
		return // the limit is the command's; descendants that outlive it may stay
	}
	if err := p.stop(SignalTerminate, ReasonTimeout, p.m.opts.Grace); err != nil {
		p.log.Warn("cannot end a process at its time limit", "error", err)
		return
	}
	p.log.Info("time limit reached")
}
