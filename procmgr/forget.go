package procmgr

import "time"

// Told says that an answer has told the exit of a process. It is forgotten
// Options.ForgetAfter later; one that was never told is kept for MaxKeep, and so
// is one with living descendants. An id that is not the scope's is ignored.
func (m *Manager) Told(scope Scope, id string) {
	p, err := m.find(scope, id)
	if err != nil {
		return
	}
	p.mu.Lock()
	first := !p.state.Running() && !p.told
	p.told = p.told || first
	left := MaxKeep - m.opts.Clock.Since(p.ended)
	p.mu.Unlock()
	if first {
		p.scheduleForget(min(m.opts.ForgetAfter, left))
	}
}

func (p *process) scheduleForget(after time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timers.forget != nil {
		p.timers.forget.Stop()
	}
	p.timers.forget = p.m.opts.Clock.AfterFunc(after, p.forgetElapsed, "forget")
}

// forgetElapsed is the event that a process was kept long enough, unless
// something of it lives.
func (p *process) forgetElapsed() {
	p.mu.Lock()
	left := MaxKeep - p.m.opts.Clock.Since(p.ended)
	p.mu.Unlock()
	if left > 0 && len(p.engine.Members()) > 0 {
		p.scheduleForget(min(p.m.opts.ForgetAfter, left))
		return
	}
	p.m.forget(p)
}

func (m *Manager) forget(p *process) {
	last := p.snapshot()
	last.Command = "" // it can be long, and whoever asks by request id knows it
	last.Forgotten = true
	lives := p.lives()
	scope := p.facts.Scope
	m.mu.Lock()
	delete(m.scopes[scope], p.id)
	if len(m.scopes[scope]) == 0 {
		delete(m.scopes, scope)
	}
	if p.request != nil {
		p.request.process, p.request.last = nil, last
	}
	if lives {
		// It must still end with the manager, though no scope reaches it.
		m.abandoned[p] = true
	}
	m.mu.Unlock()
	p.log.Debug("process forgotten")
}

// dropAbandoned lets go of an abandoned process that is dead by now.
func (m *Manager) dropAbandoned(p *process) {
	m.mu.Lock()
	known := m.abandoned[p]
	m.mu.Unlock()
	if !known || p.lives() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.abandoned, p)
}
