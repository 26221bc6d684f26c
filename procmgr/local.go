package procmgr

import (
	"errors"
	"io/fs"

	"github.com/proctor-mcp/proctor/procmgr/spawn"
)

// Local returns the engine that runs commands on this machine.
func Local() Engine { return local{spawn.New()} }

type local struct{ spawner *spawn.Spawner }

func (l local) Start(cmd EngineCommand, events EngineEvents) (EngineProcess, error) {
	p, err := l.spawner.Start(spawn.Command{
		Argv: cmd.Argv, Search: cmd.Search, Dir: cmd.Dir, Env: cmd.Env, Stdin: cmd.Stdin,
	}, spawn.Events{
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
	case errors.Is(err, fs.ErrPermission):
		return ErrNotPermitted
	default:
		return err
	}
}

func (p localProcess) Members() ([]Member, error) {
	list, err := p.Process.Members()
	var members []Member
	for _, m := range list {
		members = append(members, Member(m))
	}
	return members, err
}
