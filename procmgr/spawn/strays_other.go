//go:build !linux

package spawn

// Strays returns none: this system shows no orphans.
func (p *Process) Strays() Strays { return Strays{} }

func (h *Host) strays(string) Strays { return Strays{} }

func (h *Host) disarmed() bool { return false }
