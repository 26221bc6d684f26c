//go:build unix

package spawn

import "golang.org/x/sys/unix"

// Signal sends sig to the whole kill domain. It is the only place that sends one
// to a command. What SignalKill does not reach at once is hunted until nothing is left,
// as Events.Gone then reports.
//
// Errors: ErrNotRunning when nothing was left to receive it, ErrUnsupportedSignal,
// ErrNotPermitted, or another refusal of the system.
func (p *Process) Signal(sig Signal) error {
	number, ok := signalNumbers()[sig]
	if !ok {
		return ErrUnsupportedSignal
	}
	p.group.pin.RLock()
	defer p.group.pin.RUnlock()
	if p.group.stage() == stageClosed {
		return ErrNotRunning
	}
	err := p.domain.signal(number)
	if err == nil && sig == SignalTerminate {
		// What SIGTERM has ended needs no waking.
		_ = p.domain.signal(unix.SIGCONT)
		if p.input.tty {
			_ = p.domain.signal(unix.SIGHUP)
		}
	}
	if err == unix.EPERM {
		err = ErrNotPermitted
	}
	return err
}

// signalNumbers are the kernel's for each signal.
func signalNumbers() map[Signal]unix.Signal {
	return map[Signal]unix.Signal{
		SignalTerminate: unix.SIGTERM,
		SignalKill:      unix.SIGKILL,
		SignalInterrupt: unix.SIGINT,
		SignalHangup:    unix.SIGHUP,
		SignalQuit:      unix.SIGQUIT,
		SignalUser1:     unix.SIGUSR1,
		SignalUser2:     unix.SIGUSR2,
		SignalStop:      unix.SIGSTOP,
		SignalContinue:  unix.SIGCONT,
	}
}

// Members returns the living processes of the kill domain. An error means that
// they cannot be seen.
func (p *Process) Members() ([]Member, error) {
	list, err := p.living()
	var members []Member
	for _, l := range list {
		members = append(members, member(l))
	}
	return members, err
}

// living returns what is alive of the kill domain, nothing once that is closed.
func (p *Process) living() ([]living, error) {
	p.group.pin.RLock()
	defer p.group.pin.RUnlock()
	if p.group.stage() == stageClosed {
		return nil, nil
	}
	return p.domain.living()
}

// Ended reports whether the exit was seen, also while it waits to be announced.
func (p *Process) Ended() bool { return p.group.stage() != stageRunning }

// Suspended reports whether a signal has stopped the command.
func (p *Process) Suspended() bool {
	p.group.pin.RLock()
	defer p.group.pin.RUnlock()
	return !p.group.isReaped() && isStopped(p.group.pid)
}
