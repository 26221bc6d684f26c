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
func (m *Manager) Signal(scope Scope, id string, sig Signal, grace time.Duration) error {
	if !slices.Contains(Signals(), sig) {
		return ErrUnsupportedSignal
	}
	p, err := m.find(scope, id)
	if err != nil {
		return err
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

// Survivors returns what of a process is alive: the command and what it forked.
// A zombie is dead.
// It returns ErrNotFound for an id that is not the scope's; any other error means
// that it cannot be seen.
func (m *Manager) Survivors(scope Scope, id string) ([]Member, error) {
	p, err := m.find(scope, id)
	if err != nil || !p.lives() {
		return nil, err
	}
	return p.spawned.Members()
}

// WaitGone returns nil once the process has ended and nothing of it is alive, or
// the context's error. It returns ErrNotFound for an id that is not the scope's.
func (m *Manager) WaitGone(ctx context.Context, scope Scope, id string) error {
	p, err := m.find(scope, id)
	if err != nil {
		return err
	}
	return p.awaitGone(ctx)
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

// KillDomain is what a signal reaches here.
func (m *Manager) KillDomain() KillDomain { return m.spawner.KillDomain() }
