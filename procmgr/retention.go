package procmgr

import (
	"cmp"
	"slices"
)

// MarkReported notes that an answer has reported the exit of the process; while the
// command runs it does nothing. A process is forgotten Options.ForgetAfter after its exit
// was reported, or after MaxKeep if it never was. Neither time begins before all that it
// forked has ended as well. Options.KeepFinished can end both.
func (h Handle) MarkReported() {
	p := h.p
	p.mu.Lock()
	first := !p.life.state.Running() && !p.shown.exit
	p.shown.exit = p.shown.exit || first
	p.mu.Unlock()
	if first && !p.isAlive() {
		h.m.scheduleForget(p)
	}
}

// wentAway is called when a process is gone. From now on it is only kept to be read.
func (m *Manager) wentAway(p *process) {
	m.mu.Lock()
	m.goneSeq++
	p.goneSeq = m.goneSeq
	close(p.gone)
	b := m.scopes.of(p.facts.Scope)
	b.running--
	m.running--
	b.finished++
	var surplus *process
	if b.finished > m.opts.KeepFinished && !m.isClosing() {
		surplus = firstToForget(b)
		m.removeLocked(surplus)
	}
	m.mu.Unlock()
	m.scheduleForget(p)
	if surplus != nil {
		m.later(func() { forget(surplus) })
	}
}

// firstToForget returns the process of a scope that is forgotten when there are too many.
func firstToForget(b *belongings) *process {
	var finished []yielding
	for _, p := range b.processes {
		if y := yieldingOf(p); y.rank != living {
			finished = append(finished, y)
		}
	}
	return slices.MinFunc(finished, yielding.compare).process
}

// scheduleForget sets the time at which a process that is gone will be forgotten, unless
// it is already or Close was called.
func (m *Manager) scheduleForget(p *process) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.isClosing() || !m.scopes.holds(p) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	after := MaxKeep - m.opts.Clock.Since(p.life.goneAt)
	if p.shown.exit {
		after = min(after, m.opts.ForgetAfter)
	}
	stopTimer(p.timers.forget)
	p.timers.forget = m.opts.Clock.AfterFunc(max(after, 0), func() { m.forgetElapsed(p) }, "forget")
}

// forgetElapsed is the event that a process was kept long enough.
func (m *Manager) forgetElapsed(p *process) {
	m.mu.Lock()
	known := m.scopes.holds(p)
	if known {
		m.removeLocked(p)
	}
	m.mu.Unlock()
	if known {
		forget(p)
	}
}

// removeLocked takes a process that is gone out of its scope. [forget] must follow.
func (m *Manager) removeLocked(p *process) {
	p.mu.Lock()
	p.life.forgotten = true
	p.mu.Unlock()
	b := m.scopes.of(p.facts.Scope)
	b.finished--
	delete(b.processes, p.facts.ID)
	if r := b.requests[p.facts.RequestID]; r != nil && r.process == p {
		r.process = nil
		p.fillBrief(&r.last, m.opts.Clock.Now())
		r.last.Command = "" // it can be long, and a caller with the request id has it
	}
	m.scopes.tidy(p.facts.Scope)
}

// forget lets go of what a removed process holds. If its output is still open, another
// program has it open that is not a descendant.
func forget(p *process) {
	p.release()
	p.output.Close()
	p.log.Debug("process forgotten")
}

// freeMemory moves the output of one process after the other to disk, until that is
// enough.
func (m *Manager) freeMemory(enough func() bool) {
	for _, y := range m.byYielding() {
		if enough() {
			return
		}
		y.process.output.Spill()
	}
}

// freeOutput drops the output of one process after the other, until that is enough. It
// shortens that of a living process first.
func (m *Manager) freeOutput(enough func() bool) {
	for _, y := range m.byYielding() {
		for !enough() {
			if y.rank == living && y.process.output.Shrink() {
				continue
			}
			y.process.output.Drop()
			break
		}
	}
}

// byYielding returns all processes in the order in which their output gives way. Those
// that are being started are few, and not among them.
func (m *Manager) byYielding() (all []yielding) {
	m.mu.Lock()
	for _, p := range m.scopes.processes() {
		all = append(all, yieldingOf(p))
	}
	m.mu.Unlock()
	slices.SortFunc(all, yielding.compare)
	return all
}

// yielding is the place of a process in the order in which output gives way and processes
// are forgotten.
type yielding struct {
	*process
	rank int
	age  uint64 // order within the rank
}

const (
	goneReported = iota
	goneUnreported
	living
)

// yieldingOf returns the place of a process. The caller holds Manager.mu.
func yieldingOf(p *process) yielding {
	if p.goneSeq == 0 {
		return yielding{p, living, p.seq}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown.exit {
		return yielding{p, goneReported, p.goneSeq}
	}
	return yielding{p, goneUnreported, p.goneSeq}
}

// compare puts reported processes first, each rank by its oldest end, and living ones
// last, by their oldest start.
func (y yielding) compare(other yielding) int {
	return cmp.Or(cmp.Compare(y.rank, other.rank), cmp.Compare(y.age, other.age))
}
