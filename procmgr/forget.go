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
	p.schedule(after, p.forgetElapsed, "forget")
}

// schedule sets the one timer of an ended process, unless the manager is closed.
func (p *process) schedule(after time.Duration, event func(), tag string) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if p.m.closed {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timers.forget != nil {
		p.timers.forget.Stop()
	}
	p.timers.forget = p.m.opts.Clock.AfterFunc(after, event, tag)
}

// forgetElapsed is the event that a process was kept long enough, unless
// something of it lives.
func (p *process) forgetElapsed() {
	p.mu.Lock()
	left := MaxKeep - p.m.opts.Clock.Since(p.ended)
	p.mu.Unlock()
	if left > 0 && p.hasDescendants() {
		p.scheduleForget(min(p.m.opts.ForgetAfter, left))
		return
	}
	p.m.forget(p)
}

func (m *Manager) forget(p *process) {
	last := p.snapshot()
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
	m.abandoned[p] = true
	m.mu.Unlock()
	p.log.Debug("process forgotten")
	p.abandonedElapsed()
}

// abandonedElapsed is the event that it is time to look whether a forgotten
// process still lives. Until it is dead it must end with the manager, though no
// scope reaches it.
func (p *process) abandonedElapsed() {
	if !p.lives() {
		p.m.mu.Lock()
		delete(p.m.abandoned, p)
		p.m.mu.Unlock()
		return
	}
	p.schedule(p.m.opts.ForgetAfter, p.abandonedElapsed, "abandoned")
}
