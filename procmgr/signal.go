package procmgr

import (
	"context"
	"slices"
	"time"
)

// NoGrace says that no kill follows a terminate.
const NoGrace time.Duration = -1

// Signal sends sig to the whole kill domain of the process ([Manager.KillDomain]),
// also when only descendants are left. With SignalTerminate and a grace that is
// not negative, SignalKill follows after it unless nothing is left.
//
// Errors: ErrNotFound, ErrNotRunning when nothing is left to signal,
// ErrUnsupportedSignal, ErrNotPermitted, *RemoteError for a signal other than
// SignalTerminate and SignalKill to a process that runs elsewhere, or another
// refusal of the system.
func (h Handle) Signal(sig Signal, grace time.Duration) (err error) {
	p := h.p
	if !slices.Contains(Signals(), sig) {
		return ErrUnsupportedSignal
	}
	if err := p.launcher.reachesSignal(sig); err != nil {
		return err
	}
	switch sig {
	case SignalTerminate:
		err = p.stop(sig, ReasonRequested, grace)
	case SignalKill:
		err = p.stop(sig, ReasonRequested, NoGrace)
	default:
		// It may end by this or not: that is between it and the signal.
		p.mu.Lock()
		p.sent = fatalName(sig)
		p.mu.Unlock()
		err = p.signal(sig)
	}
	if err == nil {
		p.log.Info("signal sent", "signal", string(sig))
	}
	return err
}

// Signal is [Handle.Signal].
func (m *Manager) Signal(scope Scope, id string, sig Signal, grace time.Duration) error {
	h, err := m.In(scope).Find(id)
	if err != nil {
		return err
	}
	return h.Signal(sig, grace)
}

// Survivors is [Handle.Survivors].
func (m *Manager) Survivors(scope Scope, id string) ([]Member, error) {
	h, err := m.In(scope).Find(id)
	if err != nil {
		return nil, err
	}
	return h.Survivors()
}

// WaitGone is [Handle.WaitGone].
func (m *Manager) WaitGone(ctx context.Context, scope Scope, id string) error {
	h, err := m.In(scope).Find(id)
	if err != nil {
		return err
	}
	return h.WaitGone(ctx)
}

// KillDomain is what a signal reaches here.
func (m *Manager) KillDomain() KillDomain { return m.spawner.KillDomain() }

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
