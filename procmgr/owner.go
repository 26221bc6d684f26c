package procmgr

import (
	"cmp"
	"slices"
)

// Owner sees every scope of a [Manager], as the owner of the machine may. Only the
// packages cmd and control may use it, which a test checks.
type Owner struct{ m *Manager }

// Scopes returns the scopes that have processes which are not forgotten: first chats by
// id, then callers without a chat by token.
func (o *Owner) Scopes() (list []Scope) {
	o.m.mu.Lock()
	for scope, b := range o.m.scopes {
		if len(b.processes) > 0 {
			list = append(list, scope)
		}
	}
	o.m.mu.Unlock()
	slices.SortFunc(list, func(a, b Scope) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.id, b.id))
	})
	return list
}

// ScopeOf returns the scope of the process of that id, or ErrNotFound.
func (o *Owner) ScopeOf(id string) (Scope, error) {
	o.m.mu.Lock()
	defer o.m.mu.Unlock()
	for scope, b := range o.m.scopes {
		if b.processes[id] != nil {
			return scope, nil
		}
	}
	return Scope{}, ErrNotFound
}
