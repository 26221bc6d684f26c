package procmgr

import "github.com/proctor-mcp/proctor/procmgr/spawn"

// admitLocked counts a start as running and returns its place in the order of
// starts, or a *LimitError.
func (m *Manager) admitLocked(scope Scope) (seq uint64, err error) {
	b := m.scopes.of(scope)
	limit := spawn.LimitError{Limit: LimitRunningPerScope, Used: b.running, Max: m.opts.MaxRunningPerScope}
	if limit.Max == 0 || limit.Used < limit.Max {
		limit = spawn.LimitError{Limit: LimitRunning, Used: m.running, Max: m.opts.MaxRunning}
	}
	if limit.Max == 0 || limit.Used < limit.Max {
		b.running++
		m.running++
		m.seq++
		return m.seq, nil
	}
	m.scopes.tidy(scope)
	return 0, m.limitErrorLocked(scope, limit)
}

// dismiss takes back the admission of a start that has failed.
func (m *Manager) dismiss(scope Scope) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.scopes.of(scope).running--
	m.running--
	m.scopes.tidy(scope)
}

// limitErrorLocked adds the longest running process of the scope to a limit.
func (m *Manager) limitErrorLocked(scope Scope, limit spawn.LimitError) *LimitError {
	err := &LimitError{LimitError: limit}
	b := m.scopes[scope]
	if b == nil {
		return err
	}
	var longest *process
	for _, p := range b.processes {
		if p.isAlive() && (longest == nil || p.seq < longest.seq) {
			longest = p
		}
	}
	if longest != nil {
		err.ID, err.Command = longest.facts.ID, longest.facts.Command
	}
	return err
}
