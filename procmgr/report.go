package procmgr

import "slices"

// ending adds a process to the unreported ones just before its exit can be read, so that
// whoever has read the exit finds the process there.
func (m *Manager) ending(p *process) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.isClosing() {
		return
	}
	const worth = 64 // from so many on, reported ones are removed before the list grows
	b := m.scopes.of(p.facts.Scope)
	if list := b.unreported; len(list) >= worth && len(list) == cap(list) {
		b.unreported = slices.DeleteFunc(list, func(p *process) bool { return !m.unreportedLocked(p) })
	}
	b.unreported = append(b.unreported, p)
}

// unreportedLocked reports whether a process is known and its exit was not reported.
func (m *Manager) unreportedLocked(p *process) bool {
	if !m.scopes.holds(p) {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.shown.exit
}

// TakeNotices returns processes that have ended and whose exit was not reported, at most
// so many, in the order of their ends, and how many more there are. The returned ones
// then count as reported; the others still do not, but are not returned again. A process
// that a call waits for is left to that call.
func (s Scoped) TakeNotices(most int) (list []Process, more int) {
	for _, h := range s.takeUnreported() {
		if len(list) == most {
			more++
			continue
		}
		list = append(list, h.Snapshot())
		h.MarkReported()
	}
	return list, more
}

// takeUnreported returns the unreported processes that no call waits for, and removes
// them from the list.
func (s Scoped) takeUnreported() (taken []Handle) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	b := s.m.scopes[s.scope]
	if b == nil {
		return nil
	}
	var left []*process
	for _, p := range b.unreported {
		switch {
		case !s.m.unreportedLocked(p):
		case p.isAwaited():
			left = append(left, p)
		default:
			taken = append(taken, Handle{s.m, p})
		}
	}
	b.unreported = left
	return taken
}

// isAwaited reports whether a call waits for the end of the process, or whether its exit
// cannot be read yet.
func (p *process) isAwaited() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shown.waiters > 0 || p.life.state.Running()
}

// await notes that a call waits for the end of the process and will report it. over ends
// that.
func (p *process) await() (over func()) {
	p.mu.Lock()
	p.shown.waiters++
	p.mu.Unlock()
	return func() {
		p.mu.Lock()
		p.shown.waiters--
		p.mu.Unlock()
	}
}

// NoteRead notes that an answer has shown the output up to the offset next. It returns
// how many times in a row that was nothing new; 0 if the command has ended.
func (h Handle) NoteRead(next int64) (repeats int) {
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	shown := &h.p.shown
	if next == shown.next && h.p.life.state.Running() {
		shown.repeats++
	} else {
		shown.next, shown.repeats = next, 0
	}
	return shown.repeats
}
