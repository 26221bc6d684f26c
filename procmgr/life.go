package procmgr

import (
	"time"

	"github.com/proctor-mcp/proctor/procmgr/spawn"
)

// Exit is how a process ended, and why.
type Exit struct {
	spawn.Exit
	Reason Reason
}

// life is how a process stands and what is to become of it. It is guarded by
// process.mu.
type life struct {
	state      State
	exit       Exit      // of one that has ended
	cause      Reason    // of the last request to end, "" without one
	sent       string    // name of the last other signal that may end it, "" without one
	outputOpen bool      // output may still come
	goneAt     time.Time // when nothing of it was alive any more; zero before
	forgotten  bool
}

// end is the event that the command has ended.
func (l *life) end(e spawn.Exit) {
	l.exit = Exit{e, ReasonExited}
	to := StateExited
	switch limit := killedByLimit(e); {
	case e.Lost:
		to, l.exit.Reason = StateLost, ReasonLost
	case l.cause != "":
		l.exit.Reason = l.cause
	case limit != "":
		l.exit.Reason = limit
	case e.Signal != "" && e.Signal == l.sent:
		l.exit.Reason = ReasonRequested
	case e.Signal != "":
		l.exit.Reason = ReasonSignaled
	}
	l.state.transition(to)
}

// killedByLimit returns the reason if a limit ended a command: the kernel killed
// it, or what it waited for last, which a shell reports as 128 and the signal.
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

// stopRequest is a request to end, with what it changed.
type stopRequest struct {
	state State
	cause Reason
}

// requestStop is the event that somebody asks the command to end.
func (l *life) requestStop(why Reason) (r stopRequest) {
	r = stopRequest{l.state, l.cause}
	l.cause = why
	if l.state == StateRunning {
		l.state.transition(StateStopping)
	}
	return r
}

// stopFailed is the event that a request to end could not be delivered.
func (l *life) stopFailed(r stopRequest) {
	if !l.state.Running() {
		return
	}
	l.cause = r.cause
	if l.state == StateStopping && r.state == StateRunning {
		l.state.transition(StateRunning)
	}
}
