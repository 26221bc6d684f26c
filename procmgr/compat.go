package procmgr

import (
	"context"
	"time"

	"github.com/proctor-mcp/proctor/procmgr/output"
)

// The methods below are those of Scoped and Handle under scope and id. They go once
// package tools uses none of them.

// StartedProcess is Started with a snapshot.
type StartedProcess struct {
	Process
	Handle   Handle
	Attached bool
}

// Start is [Scoped.Start].
func (m *Manager) Start(ctx context.Context, scope Scope, spec Spec) (StartedProcess, error) {
	s, err := m.In(scope).Start(ctx, spec)
	if err != nil {
		return StartedProcess{}, err
	}
	return StartedProcess{s.Snapshot(), s.Handle, s.Attached}, nil
}

// Output is [Handle.View].
func (m *Manager) Output(scope Scope, id string) (Process, output.View, error) {
	h, err := m.In(scope).Find(id)
	if err != nil {
		return Process{}, output.View{}, err
	}
	p, v := h.View()
	return p, v, nil
}

// Read is [Handle.Snapshot] and [Handle.Output].
func (m *Manager) Read(scope Scope, id string) (Process, output.Reader, error) {
	h, err := m.In(scope).Find(id)
	if err != nil {
		return Process{}, nil, err
	}
	return h.Snapshot(), h.Output(), nil
}

// Usage is [Handle.Usage].
func (m *Manager) Usage(scope Scope, id string) (Usage, error) {
	h, err := m.In(scope).Find(id)
	if err != nil {
		return Usage{}, err
	}
	return h.Usage()
}

// Ports is [Handle.Ports].
func (m *Manager) Ports(scope Scope, id string) ([]Port, error) {
	h, err := m.In(scope).Find(id)
	if err != nil {
		return nil, err
	}
	return h.Ports()
}

// List is [Scoped.List].
func (m *Manager) List(scope Scope, filter Filter, limit int) (list []Process, omitted int) {
	return m.In(scope).List(filter, limit)
}

// Signal is [Handle.Signal].
func (m *Manager) Signal(scope Scope, id string, sig Signal, grace time.Duration) error {
	h, err := m.In(scope).Find(id)
	if err == nil {
		_, err = h.Signal(sig, grace)
	}
	return err
}

// Survivors is [Handle.Survivors].
func (m *Manager) Survivors(scope Scope, id string) ([]Member, error) {
	h, err := m.In(scope).Find(id)
	if err != nil {
		return nil, err
	}
	return h.Survivors()
}

// WaitGone is [Handle.WaitGone].
func (m *Manager) WaitGone(ctx context.Context, scope Scope, id string) error {
	h, err := m.In(scope).Find(id)
	if err != nil {
		return err
	}
	return h.WaitGone(ctx)
}

// Told is [Handle.MarkReported]. An id that is not the scope's is ignored.
func (m *Manager) Told(scope Scope, id string) {
	if h, err := m.In(scope).Find(id); err == nil {
		h.MarkReported()
	}
}

// Notices is [Scoped.TakeNotices].
func (m *Manager) Notices(scope Scope, most int) (list []Process, more int) {
	return m.In(scope).TakeNotices(most)
}

// Looked is [Handle.NoteRead].
func (m *Manager) Looked(scope Scope, id string, next int64) (times int) {
	h, err := m.In(scope).Find(id)
	if err != nil {
		return 0
	}
	return h.NoteRead(next)
}

// Wait is [Handle.Wait].
func (m *Manager) Wait(ctx context.Context, scope Scope, id string) error {
	h, err := m.In(scope).Find(id)
	if err != nil {
		return err
	}
	return h.Wait(ctx)
}

// WaitFor is [Handle.WaitFor].
func (m *Manager) WaitFor(ctx context.Context, scope Scope, id string, c Condition) (Waited, error) {
	h, err := m.In(scope).Find(id)
	if err != nil {
		return Waited{}, err
	}
	return h.WaitFor(ctx, c), nil
}

// Input is [Handle.Input].
func (m *Manager) Input(ctx context.Context, scope Scope, id string, in Input) (cursor int64, taken int, err error) {
	h, err := m.In(scope).Find(id)
	if err != nil {
		return 0, 0, err
	}
	return h.Input(ctx, in)
}
