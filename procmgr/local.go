package procmgr

import (
	"context"
	"errors"
	"io/fs"

	"github.com/proctor-mcp/proctor/procmgr/output"
	"github.com/proctor-mcp/proctor/procmgr/spawn"
)

// Local returns the engine that runs commands on this machine. host is what the
// program has set up for all of them (spawn.Setup). With nil nothing that
// concerns the whole program is changed, and the kill domain is the process group.
func Local(host *spawn.Host) Engine { return local{spawn.New(host)} }

type local struct{ spawner *spawn.Spawner }

func (l local) Start(cmd EngineCommand, events EngineEvents) (EngineProcess, error) {
	p, err := l.spawner.Start(spawn.Command{
		Launcher: cmd.Launcher, Argv: cmd.Argv, Search: cmd.Search, Dir: cmd.Dir, Env: cmd.Env, Stdin: cmd.Stdin, KeepStdin: cmd.Keep, TTY: spawn.Size(cmd.TTY), Split: cmd.Split, Group: cmd.Group,
	}, spawn.Events{
		Output:       func(s spawn.Stream, p []byte) { events.Output(streamOf(s), p) },
		OutputClosed: events.OutputClosed,
		Emptied:      func(u spawn.Usage) { events.Emptied(Usage(u)) },
		Exited: func(e spawn.Exit) {
			events.Exited(EngineExit{
				At: e.At, Code: e.Code, Signal: e.Signal, Lost: e.Lost, Empty: e.Empty,
				Limits: limits(e.Limits), Usage: Usage(e.Usage),
			})
		},
	})
	var limit *spawn.LimitError
	switch {
	case errors.As(err, &limit):
		return nil, &LimitError{Limit: limits([]spawn.Limit{limit.Limit})[0], Used: int(limit.Used), Max: int(limit.Max)}
	case err != nil:
		return nil, err
	}
	return localProcess{p}, nil
}

func streamOf(s spawn.Stream) output.Stream {
	if s == spawn.Stderr {
		return output.Stderr
	}
	return output.Stdout
}

func (l local) Wait() { l.spawner.Wait() }

func (l local) AnySuspended() bool { return l.spawner.AnySuspended() }

func (l local) KillDomain() KillDomain { return KillDomain(l.spawner.Domain()) }

type localProcess struct{ *spawn.Process }

func (p localProcess) Signal(sig Signal) error {
	known, ok := signals()[sig]
	if !ok {
		return ErrUnsupportedSignal
	}
	switch err := p.Process.Signal(known); {
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

func (p localProcess) Usage() (Usage, error) {
	u, err := p.Process.Usage()
	return Usage(u), err
}

func (p localProcess) Ports() ([]Port, error) {
	list, err := p.Process.Ports()
	var ports []Port
	for _, port := range list {
		ports = append(ports, Port(port))
	}
	return ports, err
}

func (p localProcess) Write(ctx context.Context, text []byte, end bool) (int, error) {
	n, err := p.Process.Write(ctx, text, end)
	return n, inputError(err)
}

func (p localProcess) Resize(s Size) error { return inputError(p.Process.Resize(spawn.Size(s))) }

// inputError is an error of spawn by its name here.
func inputError(err error) error {
	switch {
	case errors.Is(err, spawn.ErrNoInput):
		return ErrNoInput
	case errors.Is(err, spawn.ErrInputClosed):
		return ErrInputClosed
	case errors.Is(err, spawn.ErrInputLine):
		return ErrInputLine
	case errors.Is(err, spawn.ErrInputFull):
		return ErrInputFull
	}
	return err
}

func (p localProcess) WaitsForInput() (wait InputWait, polled bool) {
	switch found, _ := p.Process.WaitsForInput(); found { // what cannot be seen is not told
	case spawn.InputCertain:
		return InputCertain, false
	case spawn.InputPolled:
		return "", true
	}
	return "", false
}

// limits are those of spawn by their names here.
func limits(reached []spawn.Limit) (list []Limit) {
	names := map[spawn.Limit]Limit{
		spawn.LimitMemory: LimitMemory, spawn.LimitMemoryPerGroup: LimitMemoryPerScope,
		spawn.LimitPids: LimitPids, spawn.LimitPidsPerGroup: LimitPidsPerScope,
	}
	for _, l := range reached {
		list = append(list, names[l])
	}
	return list
}

// signals are those of spawn by their names here.
func signals() map[Signal]spawn.Signal {
	return map[Signal]spawn.Signal{
		SignalTerminate: spawn.Terminate, SignalKill: spawn.Kill,
		SignalInterrupt: spawn.Interrupt, SignalHangup: spawn.Hangup, SignalQuit: spawn.Quit,
		SignalUser1: spawn.User1, SignalUser2: spawn.User2,
		SignalStop: spawn.Stop, SignalContinue: spawn.Continue,
	}
}
