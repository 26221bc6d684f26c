package procmgr

import (
	"slices"
	"time"
)

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
	reach.Escapes = reach.Escapes || p.facts.Remote != ""
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
