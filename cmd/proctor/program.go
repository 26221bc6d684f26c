package main

import (
	"cmp"
	"context"
	"runtime/debug"
	"time"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/procmgr/spawn"
	"github.com/proctor-mcp/proctor/tools"
)

// program is what a command puts behind its transport: processes, and the tools that
// agents call.
type program struct {
	manager *procmgr.Manager
	tools   *tools.Tools
	log     *logger
	grace   time.Duration
	ready   chan struct{} // closed when prepare returns
	closing chan struct{} // closed by close; prepare then waits no longer
}

const (
	// closeTime is how long close waits after the grace: as long as the manager does
	// after its kill, and a little more.
	closeTime = 2 * time.Second
	// settleTime is when most servers have started and have answered their first questions.
	settleTime = 300 * time.Millisecond
)

func (o *options) program(sys system) (*program, error) {
	// Before anything else: every step may need one thread too many.
	if sys.host != nil {
		if err := sys.host.ReserveThreads(); err != nil {
			return nil, failure{err}
		}
	}
	log, err := o.log.open(sys.stderr)
	if err != nil {
		return nil, err
	}
	launcher, err := splitLauncher(o.launcher)
	if err := cmp.Or(o.check(), err); err != nil {
		return nil, err
	}
	if err := cmp.Or(o.restrict(sys.host), o.setKernelLimits(sys.host, launcher)); err != nil {
		return nil, err
	}
	manager := procmgr.New(procmgr.Options{
		Host:               sys.host,
		Shell:              []string{o.shell, "-c"},
		Launcher:           launcher,
		Env:                procmgr.EnvOptions{Inherit: sys.environ, Deny: o.envDeny},
		Dir:                func() string { return o.workdir },
		ForgetAfter:        o.forgetAfter,
		KeepFinished:       o.keepFinished,
		MaxRunningPerScope: o.maxRunningPerChat,
		MaxRunning:         o.maxRunning,
		Output:             o.output.manager(sys),
		Grace:              o.grace,
		Log:                log.Logger,
	})
	p := &program{
		manager: manager,
		tools: tools.New(tools.Options{
			Manager: manager, Rules: o.rules, Log: log.Logger,
			MaxCallsPerChat: o.maxCallsPerChat, MaxCallsPerToken: o.maxCallsPerToken,
		}),
		log: log, grace: o.grace, ready: make(chan struct{}), closing: make(chan struct{}),
	}
	if sys.host != nil {
		sys.host.LogTo(log.Logger) // before anything is started
	}
	go p.prepare(sys.host, o.isServer)
	return p, nil
}

// prepare runs beside the start. The first process would otherwise wait for it.
func (p *program) prepare(host *spawn.Host, isServer bool) {
	defer close(p.ready)
	if host != nil {
		p.log.Info("ready to start processes", "kill_domain", string(host.KillDomain()))
	}
	if !isServer {
		return
	}
	if host != nil {
		host.Sweep()
	}
	// Most servers then wait most of the time, without the memory that the start took.
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	select {
	case <-timer.C:
		debug.FreeOSMemory()
	case <-p.closing:
	}
}

// close ends everything that runs. Its error names what it cannot end.
func (p *program) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), p.grace+closeTime)
	defer cancel()
	close(p.closing)
	<-p.ready
	reach, err := p.manager.Close(ctx)
	if reach.Escapes {
		p.log.Info("descendants that have left their kill domain may live on", "kill_domain", string(reach.KillDomain))
	}
	if err != nil {
		return failure{err}
	}
	p.tools.Close()
	return nil
}
