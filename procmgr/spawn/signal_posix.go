//go:build linux || darwin

package spawn

import (
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Ended says that the exit was seen, also while it waits to be announced.
func (p *Process) Ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

// Signal sends sig to the whole kill domain. It is the only place that sends one
// to a command. What SignalKill does not reach at once it goes on to end until nothing
// is left; Emptied tells.
//
// Errors: ErrNotRunning when nothing was left to receive it, ErrUnsupportedSignal,
// ErrNotPermitted, or another refusal of the system.
func (p *Process) Signal(sig Signal) error {
	number, ok := signalNumbers()[sig]
	if !ok {
		return ErrUnsupportedSignal
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return ErrNotRunning
	}
	var err error
	if sig == SignalKill {
		err = p.killLocked()
	} else {
		err = p.signalLocked(number)
	}
	if err == nil && sig == SignalTerminate {
		// What SIGTERM has ended needs no waking.
		_ = p.signalLocked(unix.SIGCONT)
		if p.input.tty {
			_ = p.signalLocked(unix.SIGHUP)
		}
	}
	if err == unix.EPERM {
		err = ErrNotPermitted
	}
	return err
}

// launcherName returns the name by which the launcher's own processes are known:
// the kernel calls a process by the file that it runs, cut to 15 bytes (comm in
// proc_pid_comm(5)). A launcher of the same name as the command cannot be told
// from it.
func launcherName(cmd Command) string {
	if len(cmd.Launcher) == 0 || filepath.Base(cmd.Launcher[0]) == filepath.Base(cmd.Argv[0]) {
		return ""
	}
	const longest = 15 // TASK_COMM_LEN less its end
	name := filepath.Base(cmd.Launcher[0])
	return name[:min(len(name), longest)]
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

// signalGroupLocked signals the leader's group.
func (p *Process) signalGroupLocked(sig unix.Signal) error {
	var err error
	if p.reaped {
		err = p.signalReapedLocked(sig)
	} else {
		err = unix.Kill(-p.pid, sig)
	}
	if err == unix.ESRCH {
		return ErrNotRunning
	}
	return err
}

// Members returns the living processes of the kill domain. An error means that
// they cannot be seen.
func (p *Process) Members() ([]Member, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return nil, nil
	}
	return p.membersLocked()
}

// groupMembersLocked returns the living members of the leader's group.
func (p *Process) groupMembersLocked() ([]Member, error) {
	if p.reaped {
		return p.reapedMembersLocked()
	}
	return groupMembers(p.pid)
}

// watchGroup looks again and again until the group of an ended command is empty:
// the kernel announces the end of processes that are not our children to nobody.
// The pause grows to a second, and starts anew when a signal was sent.
func (p *Process) watchGroup(signalled <-chan struct{}) {
	const first, longest = time.Millisecond, time.Second
	for pause := first; ; pause = min(2*pause, longest) {
		var members []Member
		var err error
		p.mu.Lock()
		gone := p.gone
		if !gone {
			members, err = p.groupMembersLocked()
		}
		p.mu.Unlock()
		switch {
		case gone:
			return
		case err == nil && len(members) == 0:
			p.giveUp(p.events.Emptied)
			return
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-signalled:
			timer.Stop()
			pause = first / 2
		}
	}
}

// Release gives the process up: our end of the pipe is closed, so that whoever
// holds the other end gets SIGPIPE at its next write, and what lives of an ended
// command is left to itself.
func (p *Process) Release() {
	p.loop.post(p.closeOutput)
	p.closeInput()
	p.mu.Lock()
	ended := p.reaped
	p.mu.Unlock()
	if ended {
		p.giveUp(nil)
	}
}
