package procmgr

import (
	"cmp"
	"slices"

	"github.com/proctor-mcp/proctor/procmgr/spawn"
)

// counts say how many processes a scope has, so that no start and no exit has to
// walk them.
type counts struct {
	running  int // something of them lives, or they are being started
	finished int // nothing of them lives
}

// countLocked changes the counts of a scope and returns them.
func (m *Manager) countLocked(scope Scope, running, finished int) counts {
	c := m.counts[scope]
	c.running += running
	c.finished += finished
	m.running += running
	if c == (counts{}) {
		delete(m.counts, scope)
	} else {
		m.counts[scope] = c
	}
	return c
}

// admitLocked counts a start, or returns a *LimitError.
func (m *Manager) admitLocked(scope Scope) error {
	limit := spawn.LimitError{Limit: LimitRunningPerScope, Used: m.counts[scope].running, Max: m.opts.MaxRunningPerScope}
	if limit.Max == 0 || limit.Used < limit.Max {
		limit = spawn.LimitError{Limit: LimitRunning, Used: m.running, Max: m.opts.MaxRunning}
	}
	if limit.Max == 0 || limit.Used < limit.Max {
		m.countLocked(scope, +1, 0)
		return nil
	}
	return m.limitErrorLocked(scope, limit)
}

// limitErrorLocked adds the longest running process of the scope to a limit that was
// met.
func (m *Manager) limitErrorLocked(scope Scope, met spawn.LimitError) *LimitError {
	limit := &LimitError{LimitError: met}
	var longest *process
	for _, p := range m.scopes[scope] {
		if p.lives() && (longest == nil || p.seq < longest.seq) {
			longest = p
		}
	}
	if longest != nil {
		limit.ID, limit.Command = longest.facts.ID, longest.facts.Command
	}
	return limit
}

// finished counts a process of which nothing lives any more. If its scope then has
// one too many, that is removed and returned.
func (m *Manager) finished(p *process) (surplus *process) {
	scope := p.facts.Scope
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ends++
	p.endSeq = m.ends
	close(p.empty)
	if m.countLocked(scope, -1, +1).finished <= m.opts.KeepFinished || m.closed {
		return nil
	}
	var ended []yielding
	for _, other := range m.scopes[scope] {
		if y := yieldingOf(other); y.rank != living {
			ended = append(ended, y)
		}
	}
	surplus = slices.MinFunc(ended, before).p
	m.removeLocked(surplus)
	return surplus
}

// freeMemory moves the output of one process after the other to disk until it is
// enough.
func (m *Manager) freeMemory(enough func() bool) {
	for _, y := range m.byYielding() {
		if enough() {
			return
		}
		y.p.output.Spill()
	}
}

// freeOutput drops the output of finished processes, then shortens that of the
// others, until it is enough.
func (m *Manager) freeOutput(enough func() bool) {
	for _, y := range m.byYielding() {
		for !enough() {
			if y.rank == living && y.p.output.Shrink() {
				continue
			}
			y.p.output.Drop()
			break
		}
	}
}

// byYielding are all processes in the order in which they give way. Output that
// comes before its process is known can wait: few start at a time.
func (m *Manager) byYielding() (all []yielding) {
	m.mu.Lock()
	for _, scope := range m.scopes {
		for _, p := range scope {
			all = append(all, yieldingOf(p))
		}
	}
	m.mu.Unlock()
	slices.SortFunc(all, before)
	return all
}

// yielding is a process in the order in which processes give way.
type yielding struct {
	p    *process
	rank int
	age  uint64 // order within the rank
}

const (
	finishedTold = iota
	finishedUntold
	living
)

// yieldingOf returns the place of a process; the caller holds Manager.mu.
func yieldingOf(p *process) yielding {
	if p.endSeq == 0 {
		return yielding{p, living, p.seq}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.told {
		return yielding{p, finishedTold, p.endSeq}
	}
	return yielding{p, finishedUntold, p.endSeq}
}

// before orders what was told first, then the oldest end; what lives comes last,
// the longest running first.
func before(a, b yielding) int {
	return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.age, b.age))
}
