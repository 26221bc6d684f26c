package procmgr

import (
	"cmp"
	"slices"
)

// Owner sees every scope of a [Manager]. It is what the owner of the machine may do:
// only cmd and control may hold one (a test of the program looks who names it).
type Owner struct{ m *Manager }

// Scopes returns the scopes that have processes, forgotten ones aside: chats by id,
// then the callers without a chat by token.
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
