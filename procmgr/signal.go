package procmgr

import (
	"context"
	"slices"
	"time"
)

// NoGrace is the grace after which no kill follows.
const NoGrace time.Duration = -1

// Reach is how far a signal, or the end of the manager, reaches.
type Reach struct {
	KillDomain KillDomain
	// Escapes reports whether descendants may be out of reach and live on unseen: a
	// process can leave its process group, and a launcher may run a command elsewhere.
	Escapes bool
}

func (m *Manager) reach() Reach {
	domain := m.KillDomain()
	return Reach{domain, domain == KillDomainProcessGroup}
}

// Signal sends sig to the whole kill domain of the process, also when only
// descendants are left. With SignalTerminate and a grace that is not negative,
// SignalKill follows after it unless the process is gone.
//
// Errors: ErrNotRunning when nothing is left to signal, ErrUnsupportedSignal,
// ErrNotPermitted, *RemoteError for a signal other than SignalTerminate and
// SignalKill to a process that runs elsewhere, or another refusal of the system.
func (h Handle) Signal(sig Signal, grace time.Duration) (Reach, error) {
	p, reach := h.p, h.m.reach()
	reach.Escapes = reach.Escapes || !p.launcher.reachesDescendants()
	if !slices.Contains(Signals(), sig) {
		return reach, ErrUnsupportedSignal
	}
	if err := p.launcher.reachesSignal(sig); err != nil {
		return reach, err
	}
	if !p.isAlive() {
		return reach, ErrNotRunning
	}
	var err error
	switch sig {
	case SignalTerminate:
		err = p.stop(sig, ReasonRequested, grace)
	case SignalKill:
		err = p.stop(sig, ReasonRequested, NoGrace)
	default:
		// The process may end by this signal or not.
		p.mu.Lock()
		p.life.sent = fatalName(sig)
		p.mu.Unlock()
		err = p.signal(sig)
	}
	if err == nil {
		p.log.Info("signal sent", "signal", string(sig))
	}
	return reach, err
}

// fatalName returns the system's name of a signal that can end a process and is not
// sent to end it, else "".
func fatalName(s Signal) string {
	switch s {
	case SignalInterrupt:
		return "SIGINT"
	case SignalHangup:
		return "SIGHUP"
	case SignalQuit:
		return "SIGQUIT"
	case SignalUser1:
		return "SIGUSR1"
	case SignalUser2:
		return "SIGUSR2"
	}
	return ""
}

// signal sends sig to the kill domain.
func (p *process) signal(sig Signal) error { return p.opts.test.signal(p.spawned, sig) }

// stop sends sig to end the process, and why is the reason of its exit then. A kill
// follows after grace, unless that is negative.
func (p *process) stop(sig Signal, why Reason, grace time.Duration) error {
	// The request is noted first: the exit may follow the signal at once, and needs its
	// reason. If the command has ended already, the signal is for its descendants, and is
	// not the reason of the exit.
	ended := p.spawned.Ended()
	p.mu.Lock()
	undo := func() {}
	if !ended && p.life.state.Running() {
		undo = p.life.requestStop(why)
	}
	p.mu.Unlock()
	err := p.signal(sig)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err != nil:
		undo()
	case grace >= 0:
		stopTimer(p.timers.grace)
		p.timers.grace = p.opts.Clock.AfterFunc(grace, p.graceElapsed, "grace")
	}
	return err
}

// graceElapsed is the event that a request to end was not obeyed in time. The
// command may have obeyed and left others behind, so the kill goes to the whole kill
// domain.
func (p *process) graceElapsed() {
	if p.signal(SignalKill) == nil {
		p.log.Info("killed after grace")
	}
}

// limitElapsed is the event that the process has reached its time limit.
func (p *process) limitElapsed() {
	if p.spawned.Ended() {
		return // the limit holds for the command; its descendants may live on
	}
	if err := p.stop(SignalTerminate, ReasonTimeout, p.opts.Grace); err != nil {
		p.log.Warn("cannot end a process at its time limit", "error", err)
		return
	}
	p.log.Info("time limit reached")
}

// end terminates the process, kills it when graceful ends, and reports whether it was
// gone before killed ended.
func (p *process) end(graceful, killed context.Context) bool {
	if p.stop(SignalTerminate, ReasonShutdown, NoGrace) == nil && p.awaitGone(graceful) == nil {
		return true
	}
	_ = p.stop(SignalKill, ReasonShutdown, NoGrace) // after an error, the process is not gone
	return p.awaitGone(killed) == nil
}
