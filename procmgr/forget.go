package procmgr

// Told says that an answer has told the exit of a process. It is forgotten
// Options.ForgetAfter later; one that was never told is kept for MaxKeep. Neither
// time begins while something that it forked is alive. An id that is not the
// scope's is ignored.
func (m *Manager) Told(scope Scope, id string) {
	p, err := m.find(scope, id)
	if err != nil {
		return
	}
	p.mu.Lock()
	first := !p.state.Running() && !p.told
	p.told = p.told || first
	p.mu.Unlock()
	if first && !p.lives() {
		p.scheduleForget()
	}
}

// scheduleForget sets the time at which a process of which nothing lives is
// forgotten, unless the manager is closed.
func (p *process) scheduleForget() {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if p.m.closed {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	after := MaxKeep - p.m.opts.Clock.Since(p.kept)
	if p.told {
		after = min(after, p.m.opts.ForgetAfter)
	}
	if p.timers.forget != nil {
		p.timers.forget.Stop()
	}
	p.timers.forget = p.m.opts.Clock.AfterFunc(max(after, 0), p.forgetElapsed, "forget")
}

// forgetElapsed is the event that a process was kept long enough. Who may still
// hold its output is no descendant of it.
func (p *process) forgetElapsed() {
	p.engine.Release()
	m, last := p.m, p.snapshot()
	last.Command = "" // it can be long, and whoever asks by request id knows it
	last.Forgotten = true
	scope := p.facts.Scope
	m.mu.Lock()
	delete(m.scopes[scope], p.facts.ID)
	if len(m.scopes[scope]) == 0 {
		delete(m.scopes, scope)
	}
	if p.request != nil {
		p.request.process, p.request.last = nil, last
	}
	m.mu.Unlock()
	p.log.Debug("process forgotten")
}
