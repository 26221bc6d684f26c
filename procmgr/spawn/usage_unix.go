//go:build unix

package spawn

import "github.com/proctor-mcp/proctor/procmgr/lockorder"

// account is what the dead of a kill domain have used. Whoever reaps one adds what it
// has used, so that each is counted once.
type account struct {
	mu   lockorder.Mutex[accountPlace] // guards the field below
	used Usage
}

type accountPlace struct{}

func (accountPlace) Place() (int, bool) { return 120, false }

func (a *account) add(u Usage) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used.add(u)
}

func (a *account) sum() Usage {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.used
}

// settle replaces the sum by what was used in all.
func (a *account) settle(all Usage) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used = all
}
