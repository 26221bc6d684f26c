package procmgr

import "github.com/proctor-mcp/proctor/procmgr/spawn"

// The terms of package spawn, which describes them. A program that embeds this package
// need not import that one.
type (
	KillDomain = spawn.KillDomain
	Signal     = spawn.Signal
	Size       = spawn.Size
	Usage      = spawn.Usage
	Member     = spawn.Member
	Strays     = spawn.Strays
	Port       = spawn.Port
	InputWait  = spawn.InputWait
	Limit      = spawn.Limit
)

const (
	KillDomainCgroup       = spawn.KillDomainCgroup
	KillDomainDescendants  = spawn.KillDomainDescendants
	KillDomainProcessGroup = spawn.KillDomainProcessGroup
	KillDomainJob          = spawn.KillDomainJob

	SignalTerminate = spawn.SignalTerminate
	SignalKill      = spawn.SignalKill
	SignalInterrupt = spawn.SignalInterrupt
	SignalHangup    = spawn.SignalHangup
	SignalQuit      = spawn.SignalQuit
	SignalUser1     = spawn.SignalUser1
	SignalUser2     = spawn.SignalUser2
	SignalStop      = spawn.SignalStop
	SignalContinue  = spawn.SignalContinue

	LimitMemory         = spawn.LimitMemory
	LimitMemoryPerScope = spawn.LimitMemoryPerScope
	LimitPids           = spawn.LimitPids
	LimitPidsPerScope   = spawn.LimitPidsPerScope

	InputCertain = spawn.InputCertain
)

// InputLikely is the manager's conclusion from spawn.InputPolled: the process polls its
// input, and has written nothing for half a second.
const InputLikely InputWait = "likely"

var (
	ErrNotRunning        = spawn.ErrNotRunning
	ErrUnsupportedSignal = spawn.ErrUnsupportedSignal
	ErrNotPermitted      = spawn.ErrNotPermitted
	ErrNoInput           = spawn.ErrNoInput
	ErrNoTerminal        = spawn.ErrNoTerminal
	ErrInputClosed       = spawn.ErrInputClosed
	ErrInputLine         = spawn.ErrInputLine
	ErrInputFull         = spawn.ErrInputFull
)

// Signals returns every signal.
func Signals() []Signal { return spawn.Signals() }
