package procmgr

// Told says that an answer has told the exit of a process. It is forgotten
// Options.ForgetAfter later; one that was never told is kept for MaxKeep. Neither
// time begins while something that it forked is alive. Options.KeepFinished can end
// both.
func (h Handle) Told() {
	p := h.p
	p.mu.Lock()
	first := !p.state.Running() && !p.told
	p.told = p.told || first
	p.mu.Unlock()
	if first && !p.lives() {
		p.scheduleForget()
	}
}

// Told is [Handle.Told]. An id that is not the scope's is ignored.
func (m *Manager) Told(scope Scope, id string) {
	if h, err := m.In(scope).Find(id); err == nil {
		h.Told()
	}
}

// scheduleForget sets the time at which a process of which nothing lives is
// forgotten, unless it is already or the manager is closed.
func (p *process) scheduleForget() {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if p.m.closed || !p.m.knowsLocked(p) {
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

// forgetElapsed is the event that a process was kept long enough.
func (p *process) forgetElapsed() {
	p.m.mu.Lock()
	known := p.m.knowsLocked(p)
	if known {
		p.m.removeLocked(p)
	}
	p.m.mu.Unlock()
	if known {
		p.forgotten()
	}
}

// knowsLocked says that the process is not forgotten.
func (m *Manager) knowsLocked(p *process) bool { return m.scopes[p.facts.Scope][p.facts.ID] == p }

// removeLocked takes a process of which nothing lives out of its scope; forgotten
// must follow.
func (m *Manager) removeLocked(p *process) {
	last, scope := p.snapshot(), p.facts.Scope
	last.Command = "" // it can be long, and whoever asks by request id knows it
	last.Forgotten = true
	m.countLocked(scope, 0, -1)
	delete(m.scopes[scope], p.facts.ID)
	if len(m.scopes[scope]) == 0 {
		delete(m.scopes, scope)
	}
	if p.request != nil {
		p.request.process, p.request.last = nil, last
	}
}

// forgotten lets go of what a process that was removed holds. Who may still hold
// its output is no descendant of it.
func (p *process) forgotten() {
	p.mu.Lock()
	p.timers.stop()
	p.mu.Unlock()
	p.spawned.Release()
	p.output.Close()
	p.log.Debug("process forgotten")
}
