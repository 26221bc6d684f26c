package procmgr

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/proctor-mcp/proctor/fair"
	"github.com/proctor-mcp/proctor/procmgr/output"
	"github.com/proctor-mcp/proctor/procmgr/spawn"
)

// start starts a process when it is the scope's turn, if the limits allow one more.
func (m *Manager) start(ctx context.Context, scope Scope, spec *Spec) (p *process, err error) {
	m.mu.Lock()
	seq, err := uint64(0), ErrClosed
	if !m.isClosing() {
		seq, err = m.admitLocked(scope)
	}
	m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	defer func() {
		if p == nil { // also after a panic of a hook
			m.dismiss(scope)
		}
	}()
	turn, err := m.turn(ctx, scope)
	if err != nil {
		return nil, err
	}
	defer turn.Leave()
	return m.launch(scope, spec, seq)
}

// turn waits for the scope's turn to start a process.
func (m *Manager) turn(ctx context.Context, scope Scope) (*fair.Turn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(m.closing, cancel)()
	turn, err := m.starts.Turn(ctx, scope)
	if err != nil && m.isClosing() {
		return nil, ErrClosed
	}
	return turn, err
}

// launch starts a process and makes it known to its scope.
func (m *Manager) launch(scope Scope, spec *Spec, seq uint64) (*process, error) {
	p, cmd, err := m.prepare(scope, spec)
	if err != nil {
		return nil, err
	}
	p.seq = seq
	// The hooks may have taken long. From here on, Close waits for this.
	m.mu.Lock()
	if m.isClosing() {
		m.mu.Unlock()
		return nil, ErrClosed
	}
	m.launching.Add(1)
	m.mu.Unlock()
	defer m.launching.Done()

	p.spawned, err = m.opts.test.start(m.spawner, cmd, spawn.Events{
		Stdout:       func(b []byte) { p.output.Append(output.Stdout, b) },
		Stderr:       func(b []byte) { p.output.Append(output.Stderr, b) },
		OutputClosed: p.outputClosed, Exited: p.exited, Gone: p.descendantsGone,
	})
	var limit *spawn.LimitError
	switch {
	case errors.As(err, &limit):
		m.mu.Lock()
		defer m.mu.Unlock()
		return nil, m.limitErrorLocked(scope, *limit)
	case err != nil:
		return nil, &StartError{Dir: p.facts.Dir, Err: err}
	}
	if spec.Timeout > 0 { // nobody else knows it yet
		p.timers.limit = m.opts.Clock.AfterFunc(spec.Timeout, p.limitElapsed, "limit")
	}
	late := m.publish(p)
	p.log.Info("process started", "background", spec.Background)
	p.log.Debug("process command", "command", p.facts.Command, "workdir", p.facts.Dir)
	p.spawned.Follow()
	if late {
		m.endLate(p)
		return p, ErrClosed
	}
	return p, nil
}

// prepare calls the hooks and returns a process that is not started, and its command.
func (m *Manager) prepare(scope Scope, spec *Spec) (p *process, cmd spawn.Command, err error) {
	launcher := newLauncher(m.opts.Launcher)
	if spec.Launcher != nil {
		launcher = newLauncher(spec.Launcher)
	}
	if err := launcher.reachesDir(spec.Dir); err != nil {
		return nil, cmd, err
	}
	dir, err := m.opts.workdir(spec.Dir)
	if err != nil {
		return nil, cmd, err
	}
	id := uuid.NewString()
	log := cmp.Or(spec.Log, m.opts.Log).With("chat_id", scope.String(), "process_id", id)
	p = newProcess(&m.opts, m, log, Facts{
		ID: id, Scope: scope, RequestID: spec.RequestID, Command: spec.commandLine(), Dir: dir, Label: spec.Label,
		KeepsInput: spec.KeepStdin || spec.TTY != Size{}, TTY: spec.TTY, Split: spec.Split,
		Background: spec.Background, StartedAt: m.opts.Clock.Now(), Remote: launcher.remote,
	})
	p.output.Space, p.launcher = m.space, launcher
	if spec.TTY != (Size{}) {
		p.sizes = []Resize{{0, spec.TTY}}
	}
	cmd = spawn.Command{
		Argv: spec.Argv, Dir: dir, Env: m.opts.Env.environ(log, scope, id, dir, spec),
		Stdin: spec.Stdin, KeepStdin: spec.KeepStdin, TTY: spec.TTY, Split: spec.Split, Scope: scope.name(),
	}
	if len(spec.Argv) == 0 {
		cmd.Argv = append(slices.Clone(m.opts.Shell), spec.Command)
		// The shell is not found by the PATH of the process, but by this program's.
		cmd.Search = m.opts.Env.Inherit
	}
	cmd.Argv = m.opts.Wrap(cmd.Argv)
	launcher.apply(&cmd, m.opts.Env.Inherit, remoteEnv(scope, id, spec))
	return p, cmd, nil
}

// publish makes a process known to its scope. It reports whether Close no longer waits
// for it.
func (m *Manager) publish(p *process) (late bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.scopes.of(p.facts.Scope)
	b.processes[p.facts.ID] = p
	if r := b.requests[p.facts.RequestID]; r != nil {
		r.process = p
	}
	return m.late
}

// endLate ends a process whose start took longer than Close has waited.
func (m *Manager) endLate(p *process) {
	killed, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer m.opts.Clock.AfterFunc(killTime, cancel, "close", "late").Stop()
	if p.stop(SignalKill, ReasonShutdown, NoGrace); p.awaitGone(killed) != nil {
		p.log.Warn("cannot end a process that started while the manager was closed")
	}
	p.release()
}
