package procmgr

import "slices"

// ending is called when the exit of a process is about to be seen: who sees it finds
// the process among the unreported ones.
func (m *Manager) ending(p *process) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.isClosing() {
		return
	}
	const worth = 64 // what was reported since is cleared away now and then
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

// TakeNotices returns processes that have ended and whose exit no answer has reported,
// at most so many, in the order of their ends, and how many more there are. Each is
// returned once and counts as reported then. The others are not mentioned again, but
// kept as unreported. Those that a call waits for are left to that call.
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

// takeUnreported takes the processes that nobody waits for out of the list.
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

// isAwaited reports whether a call waits for the end of the process, or that is not
// seen yet.
func (p *process) isAwaited() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shown.waiters > 0 || p.life.state.Running()
}

// await says that a call waits for the process and will report its end, until the
// returned function is called.
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

// NoteRead says that an answer has shown the output up to next. It returns how many
// times in a row that was nothing new: 0 if it was new, or if the command has ended.
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
