package procmgr

import "slices"

// untoldExitLocked remembers that nobody was told of an exit.
func (m *Manager) untoldExitLocked(p *process) {
	scope := p.facts.Scope
	if m.closed {
		return
	}
	const worth = 64 // what has been told since is cleared away now and then
	if list := m.untold[scope]; len(list) >= worth && len(list) == cap(list) {
		m.untold[scope] = slices.DeleteFunc(list, func(p *process) bool { return !m.untoldLocked(p) })
	}
	m.untold[scope] = append(m.untold[scope], p)
}

// untoldLocked says that a process has ended, is known, and was not told.
func (m *Manager) untoldLocked(p *process) bool {
	if !m.knowsLocked(p) {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.told
}

// Notices is [Scoped.Notices].
func (m *Manager) Notices(scope Scope, most int) (list []Process, more int) {
	return m.In(scope).Notices(most)
}

// Notices returns processes of a scope that have ended and that no answer has told,
// at most so many, in the order of their ends, and how many more there are. Each is
// returned once, and is told by that; the others are not mentioned again, but kept
// as what was never told. Those that a call waits for are left to it.
func (s Scoped) Notices(most int) (list []Process, more int) {
	m, scope := s.m, s.scope
	var tell []*process
	m.mu.Lock()
	waiting := m.untold[scope]
	if len(waiting) == 0 {
		m.mu.Unlock()
		return nil, 0
	}
	var awaited []*process
	for _, p := range waiting {
		switch {
		case !m.untoldLocked(p):
		case p.awaited():
			awaited = append(awaited, p)
		case len(tell) < most:
			tell = append(tell, p)
		default:
			more++
		}
	}
	if len(awaited) > 0 {
		m.untold[scope] = awaited
	} else {
		delete(m.untold, scope)
	}
	m.mu.Unlock()
	for _, p := range tell {
		h := Handle{m, p}
		list = append(list, h.Snapshot())
		h.Told()
	}
	return list, more
}

func (p *process) awaited() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.awaits > 0
}

// await says that a call waits for the process, and will tell of its end; the
// returned function that it does so no longer.
func (p *process) await() (end func()) {
	p.mu.Lock()
	p.awaits++
	p.mu.Unlock()
	return func() {
		p.mu.Lock()
		p.awaits--
		p.mu.Unlock()
	}
}

// looked is what calls that look at a running process have seen.
type looked struct {
	next  int64 // up to where
	times int   // in a row, with nothing new
}

// Looked is [Handle.Looked].
func (m *Manager) Looked(scope Scope, id string, next int64) (times int) {
	h, err := m.In(scope).Find(id)
	if err != nil {
		return 0
	}
	return h.Looked(next)
}

// Looked says that an answer has shown the output of a process up to next, and
// returns how many times in a row that was nothing new; 0 when it was, or when it
// has ended.
func (h Handle) Looked(next int64) (times int) {
	p := h.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if next != p.looked.next || !p.state.Running() {
		p.looked = looked{next: next, times: -1}
	}
	p.looked.times++
	return p.looked.times
}
