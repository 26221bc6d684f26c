package procmgr

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/proctor-mcp/proctor/procmgr/output"
	"github.com/proctor-mcp/proctor/procmgr/spawn"
)

// Started is the answer to a start.
type Started struct {
	Process
	// Handle reaches the process. It is zero if Process is Forgotten.
	Handle Handle
	// Attached says that an earlier start with this request id gave the process.
	Attached bool
}

// Start is [Scoped.Start].
func (m *Manager) Start(ctx context.Context, scope Scope, spec Spec) (Started, error) {
	return m.In(scope).Start(ctx, spec)
}

// Start starts a process and returns once its program runs. Few start at a time, in
// turn by scope; ctx only bounds how long a start waits for its turn or for another
// with the same request id.
//
// Errors: *InputError for a Spec that cannot be used, *RemoteError for one whose
// Dir its launcher cannot use, *StartError when the system refused, *LimitError,
// ErrScope, ErrClosed, ErrRequestConflict, ErrTooManyRequests, or the context's.
// After an error nothing runs and the request id is free.
func (s Scoped) Start(ctx context.Context, spec Spec) (Started, error) {
	m, scope := s.m, s.scope
	if !scope.valid() {
		return Started{}, ErrScope
	}
	if err := spec.validate(); err != nil {
		return Started{}, err
	}
	if spec.RequestID != "" {
		return m.startOnce(ctx, scope, spec)
	}
	p, err := m.start(ctx, scope, &spec, nil)
	if err != nil {
		return Started{}, err
	}
	return Started{Process: p.snapshot(), Handle: Handle{m, p}}, nil
}

// start starts a process in turn, if there is room for one more. r is the request
// that asks for it, or nil.
func (m *Manager) start(ctx context.Context, scope Scope, spec *Spec, r *request) (p *process, err error) {
	seq, err := m.beginStart(scope)
	if err != nil {
		return nil, err
	}
	defer func() {
		if p == nil { // also after a panic of a hook
			m.mu.Lock()
			m.countLocked(scope, -1, 0)
			m.mu.Unlock()
		}
		m.starting.Done()
	}()
	turn, err := m.starts.Turn(ctx, scope)
	if err != nil {
		return nil, err
	}
	defer turn.Leave()
	return m.launch(scope, spec, r, seq)
}

// beginStart counts a start as running and in flight, and returns its place in the
// order of starts.
func (m *Manager) beginStart(scope Scope) (seq uint64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, ErrClosed
	}
	if err := m.admitLocked(scope); err != nil {
		return 0, err
	}
	m.starting.Add(1)
	m.seq++
	return m.seq, nil
}

// launcher returns what is put before a command.
func (m *Manager) launcher(spec *Spec) launcher {
	if spec.Launcher != nil {
		return newLauncher(spec.Launcher)
	}
	return newLauncher(m.opts.Launcher)
}

// launch starts a process and puts it where its scope finds it.
func (m *Manager) launch(scope Scope, spec *Spec, r *request, seq uint64) (*process, error) {
	m.mu.Lock()
	closed := m.closed
	m.mu.Unlock()
	if closed { // while it waited for its turn
		return nil, ErrClosed
	}
	launcher := m.launcher(spec)
	if err := launcher.reachesDir(spec.Dir); err != nil {
		return nil, err
	}
	dir, err := m.opts.workdir(spec.Dir)
	if err != nil {
		return nil, err
	}
	id := uuid.NewString()
	log := cmp.Or(spec.Log, m.opts.Log)
	p := &process{
		seq: seq, m: m,
		launcher: launcher,
		output:   output.Store{Space: m.space},
		log:      log.With("chat_id", scope.String(), "process_id", id),
		request:  r,
		done:     make(chan struct{}),
		empty:    make(chan struct{}),
		state:    StateRunning,
		open:     true,
	}
	argv, command := spec.Argv, spec.commandLine()
	// What the environment of a process says is for its own programs; the shell
	// is ours.
	var search []string
	if len(argv) == 0 {
		argv = append(slices.Clone(m.opts.Shell), command)
		search = m.opts.Environ
	}
	p.facts = Facts{
		ID: id, Scope: scope, Command: command, Dir: dir, Label: spec.Label,
		KeepsInput: spec.KeepStdin || spec.TTY != Size{}, TTY: spec.TTY, Split: spec.Split,
		Background: spec.Background, StartedAt: m.opts.Clock.Now(), Remote: launcher.remote,
	}
	cmd := spawn.Command{Argv: m.opts.Wrap(argv), Search: search, Dir: dir, Env: m.opts.environ(p.log, scope, id, dir, spec), Stdin: spec.Stdin, KeepStdin: spec.KeepStdin, TTY: spec.TTY, Split: spec.Split, Scope: scope.name()}
	if spec.TTY != (Size{}) {
		p.sizes = []Resize{{0, spec.TTY}}
	}
	launcher.apply(&cmd, m.opts.Environ, remoteEnv(scope, id, spec))
	p.spawned, err = m.opts.testStart(m.spawner, cmd,
		spawn.Events{
			Stdout:       func(b []byte) { p.output.Append(output.Stdout, b) },
			Stderr:       func(b []byte) { p.output.Append(output.Stderr, b) },
			OutputClosed: p.outputClosed, Exited: p.exited, Emptied: p.emptied,
		})
	var limit *spawn.LimitError
	switch {
	case errors.As(err, &limit):
		m.mu.Lock()
		defer m.mu.Unlock()
		return nil, m.limitErrorLocked(scope, *limit)
	case err != nil:
		return nil, &StartError{Dir: dir, Err: err}
	}
	if spec.Timeout > 0 {
		p.timers.limit = m.opts.Clock.AfterFunc(spec.Timeout, p.limitElapsed, "limit")
	}
	m.mu.Lock()
	if m.scopes[scope] == nil {
		m.scopes[scope] = map[string]*process{}
	}
	m.scopes[scope][id] = p
	if r != nil {
		r.process = p
	}
	m.mu.Unlock()
	p.log.Info("process started", "background", spec.Background)
	p.log.Debug("process command", "command", command, "workdir", dir)
	p.spawned.Follow()
	return p, nil
}
