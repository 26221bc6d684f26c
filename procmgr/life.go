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

// life is the state of a process and what led to it. It is guarded by process.mu.
type life struct {
	state      State
	exit       Exit      // once the command has ended
	cause      Reason    // why it was last requested to end, or ""
	sent       string    // name of the last other signal that may end it, or ""
	outputOpen bool      // output may still come
	goneAt     time.Time // when the process was gone; zero before
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

// killedByLimit returns the limit of memory that ended a command, or "". The kernel has
// killed the command, or a child of a shell, which exits with 128 and the signal then.
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

// requestStop is the event that the command is requested to end. undo is the event that
// the request could not be delivered.
func (l *life) requestStop(why Reason) (undo func()) {
	state, cause := l.state, l.cause
	l.cause = why
	if state == StateRunning {
		l.state.transition(StateStopping)
	}
	return func() {
		if !l.state.Running() {
			return
		}
		l.cause = cause
		if l.state == StateStopping && state == StateRunning {
			l.state.transition(StateRunning)
		}
	}
}
