package procmgr

import (
	"context"
	"errors"
)

// Started is a process that was started.
type Started struct {
	Handle
	// Attached reports whether an earlier call with the same request id has started the
	// process. The process may be forgotten then, see Process.Forgotten.
	Attached bool
}

// Start starts a process and returns once its program runs. Few starts are made at a
// time, and scopes take turns. ctx only bounds how long a start waits for its turn, or for
// another start with the same request id.
//
// Errors: *InputError for a Spec that cannot be used, *RemoteError for a Dir that the
// launcher cannot use, *StartError when the system refused, *LimitError, ErrScope,
// ErrClosed, ErrRequestConflict, ErrTooManyRequests, or that of ctx. After an error
// nothing runs and the request id is free.
func (s Scoped) Start(ctx context.Context, spec Spec) (Started, error) {
	if !s.scope.valid() {
		return Started{}, ErrScope
	}
	if err := spec.validate(); err != nil {
		return Started{}, err
	}
	if spec.RequestID != "" {
		return s.startOnce(ctx, &spec)
	}
	p, err := s.m.start(ctx, s.scope, &spec)
	if err != nil {
		return Started{}, err
	}
	return Started{Handle{s.m, p}, false}, nil
}

// errInterrupted reports that a call has ended before it could start its process.
var errInterrupted = errors.New("start was interrupted")

// startOnce starts a process unless a call with this request id has done so.
func (s Scoped) startOnce(ctx context.Context, spec *Spec) (Started, error) {
	for {
		r, first, err := s.reserve(spec)
		switch {
		case err != nil:
			return Started{}, err
		case first:
			p, err := s.startFirst(ctx, spec, r)
			if err != nil {
				return Started{}, err
			}
			return Started{Handle{s.m, p}, false}, nil
		}
		select {
		case <-r.settled:
		case <-ctx.Done():
			return Started{}, ctx.Err()
		case <-s.m.closing.Done():
			return Started{}, ErrClosed
		}
		switch {
		case r.err == nil:
			return Started{s.handleOf(r, spec), true}, nil
		case !errors.Is(r.err, errInterrupted):
			return Started{}, r.err
		}
	}
}

// startFirst starts the process of a request that is new, and settles the request.
func (s Scoped) startFirst(ctx context.Context, spec *Spec, r *request) (p *process, err error) {
	err = errInterrupted // if a hook panics
	defer func() {
		r.err = err
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			r.err = errInterrupted
		}
		if err != nil {
			s.release(spec.RequestID)
		} else {
			s.expireLater(spec.RequestID, r)
		}
		close(r.settled)
	}()
	return s.m.start(ctx, s.scope, spec)
}

// handleOf returns the process of a request, or what is left of it.
func (s Scoped) handleOf(r *request, spec *Spec) Handle {
	s.m.mu.Lock()
	p, last := r.process, r.last
	s.m.mu.Unlock()
	if p == nil {
		last.Command = spec.commandLine()
		p = newForgotten(&s.m.opts, s.m, last)
	}
	return Handle{s.m, p}
}

// reserve returns the request of that id, and whether it is new.
func (s Scoped) reserve(spec *Spec) (r *request, first bool, err error) {
	digest := spec.digest()
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	requests := s.m.scopes.of(s.scope).requests
	defer s.m.scopes.tidy(s.scope)
	if r := requests[spec.RequestID]; r != nil {
		if r.digest != digest {
			return nil, false, ErrRequestConflict
		}
		return r, false, nil
	}
	if len(requests) >= MaxRequestIDs {
		return nil, false, ErrTooManyRequests
	}
	r = &request{digest: digest, settled: make(chan struct{})}
	requests[spec.RequestID] = r
	return r, true, nil
}

func (s Scoped) release(id string) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	delete(s.m.scopes.of(s.scope).requests, id)
	s.m.scopes.tidy(s.scope)
}

// expireLater frees the id after RequestTTL, but not before its process is forgotten.
func (s Scoped) expireLater(id string, r *request) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.m.isClosing() {
		return
	}
	r.expiry = s.m.opts.Clock.AfterFunc(RequestTTL, func() {
		s.m.mu.Lock()
		known := r.process != nil
		s.m.mu.Unlock()
		if known {
			s.expireLater(id, r)
			return
		}
		s.release(id)
	}, "request")
}
