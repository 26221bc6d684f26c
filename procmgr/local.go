package procmgr

import (
	"errors"

	"github.com/proctor-mcp/proctor/procmgr/spawn"
)

// Local returns the engine that runs commands on this machine.
func Local() Engine { return local{spawn.New()} }

type local struct{ spawner *spawn.Spawner }

func (l local) Start(cmd EngineCommand, events EngineEvents) (EngineProcess, error) {
	p, err := l.spawner.Start(spawn.Command(cmd), spawn.Events{
		Output:       events.Output,
		OutputClosed: events.OutputClosed,
		Exited: func(e spawn.Exit) {
			events.Exited(EngineExit{
				At: e.At, Code: e.Code, Signal: e.Signal, Lost: e.Lost,
				Usage: Usage{User: e.User, System: e.System, MaxRSS: e.MaxRSS},
			})
		},
	})
	if err != nil {
		return nil, err
	}
	return localProcess{p}, nil
}

func (l local) Wait() { l.spawner.Wait() }

type localProcess struct{ *spawn.Process }

func (p localProcess) Signal(sig Signal) error {
	s := spawn.Terminate
	if sig == SignalKill {
		s = spawn.Kill
	}
	switch err := p.Process.Signal(s); {
	case errors.Is(err, spawn.ErrGone):
		return ErrNotRunning
	case errors.Is(err, spawn.ErrUnsupported):
		return ErrUnsupportedSignal
	default:
		return err
	}
}

func (p localProcess) Members() []Member {
	var members []Member
	for _, m := range p.Process.Members() {
		members = append(members, Member(m))
	}
	return members
}
