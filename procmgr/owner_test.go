//go:build linux

package procmgr

import (
	"errors"
	"os"
	"slices"
	"testing"
)

func TestOwnerSeesEveryScope(t *testing.T) {
	m, owner := NewOwned(Options{Env: EnvOptions{Inherit: os.Environ()}, Host: host})
	defer m.Close(t.Context())
	if list := owner.Scopes(); len(list) != 0 {
		t.Errorf("before anything started: %v", list)
	}
	want := []Scope{Chat("a"), Chat("b"), NoChat("t")}
	for _, scope := range []Scope{want[2], want[1], want[0], want[1]} {
		p := start(t, m, scope, Spec{Command: "exec sleep 100"})
		if got, err := owner.ScopeOf(p.ID); got != scope || err != nil {
			t.Errorf("%v: found in %v, %v", scope, got, err)
		}
	}
	if list := owner.Scopes(); !slices.Equal(list, want) {
		t.Errorf("got %v, want %v", list, want)
	}
	_, unknown := m.In(Chat("a")).Find("no-such-id")
	if got, err := owner.ScopeOf("no-such-id"); got != (Scope{}) || !errors.Is(err, ErrNotFound) || err.Error() != unknown.Error() {
		t.Errorf("unknown: got %v, %v", got, err)
	}
	// What is forgotten is not there, and a request id alone makes no scope.
	forgotten := waitGone(t, m, start(t, m, Chat("d"), Spec{Command: "true", RequestID: "r"}))
	m.forgetElapsed(of(t, m, forgotten).p)
	if _, err := owner.ScopeOf(forgotten.ID); !errors.Is(err, ErrNotFound) || !slices.Equal(owner.Scopes(), want) {
		t.Errorf("forgotten: %v, and the scopes are %v", err, owner.Scopes())
	}
}
