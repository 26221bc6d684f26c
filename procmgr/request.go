package procmgr

import (
	"context"
	"crypto/sha256"
	"errors"

	"github.com/coder/quartz"
)

// request is a start that carries an id, kept for RequestTTL.
type request struct {
	digest [sha256.Size]byte
	ready  chan struct{} // closed once the start has succeeded or failed
	err    error         // why it failed, set before ready

	// Guarded by Manager.mu.
	process *process // until it is forgotten
	last    Process  // from then on, without its command
	expiry  *quartz.Timer
}

// startOnce starts a process unless this request id did so before.
func (m *Manager) startOnce(ctx context.Context, scope Scope, spec Spec) (Started, error) {
	r, first, err := m.reserve(scope, &spec)
	if err != nil {
		return Started{}, err
	}
	if first {
		if _, r.err = m.start(ctx, scope, &spec, r); r.err != nil {
			m.release(scope, spec.RequestID)
		} else {
			m.expireLater(scope, spec.RequestID, r)
		}
		close(r.ready)
	}
	select {
	case <-r.ready:
	case <-ctx.Done():
		return Started{}, ctx.Err()
	}
	if !first && ctx.Err() == nil && (errors.Is(r.err, context.Canceled) || errors.Is(r.err, context.DeadlineExceeded)) {
		return m.startOnce(ctx, scope, spec) // the call that ended was another's
	}
	if r.err != nil {
		return Started{}, r.err
	}
	m.mu.Lock()
	p, known := r.process, r.last
	m.mu.Unlock()
	if p != nil {
		known = p.snapshot()
	} else {
		known.Command = spec.commandLine()
	}
	s := Started{Process: known, Attached: !first}
	if p != nil {
		s.Handle = Handle{m, p}
	}
	return s, nil
}

// reserve returns the request of that id, and whether it is new.
func (m *Manager) reserve(scope Scope, spec *Spec) (r *request, first bool, err error) {
	digest := spec.digest()
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, known := m.requests[scope][spec.RequestID]; known {
		if r.digest != digest {
			return nil, false, ErrRequestConflict
		}
		return r, false, nil
	}
	if len(m.requests[scope]) >= MaxRequestIDs {
		return nil, false, ErrTooManyRequests
	}
	if m.requests[scope] == nil {
		m.requests[scope] = map[string]*request{}
	}
	r = &request{digest: digest, ready: make(chan struct{})}
	m.requests[scope][spec.RequestID] = r
	return r, true, nil
}

func (m *Manager) release(scope Scope, id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.requests[scope], id)
	if len(m.requests[scope]) == 0 {
		delete(m.requests, scope)
	}
}

// expireLater frees the id after RequestTTL, but not while its process is known.
func (m *Manager) expireLater(scope Scope, id string, r *request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	r.expiry = m.opts.Clock.AfterFunc(RequestTTL, func() {
		m.mu.Lock()
		known := r.process != nil
		m.mu.Unlock()
		if known {
			m.expireLater(scope, id, r)
			return
		}
		m.release(scope, id)
	}, "request")
}
