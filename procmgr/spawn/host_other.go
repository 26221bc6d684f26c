//go:build !linux

package spawn

import (
	"fmt"
	"log/slog"
)

// Host is what the whole program does for the processes that it starts. This
// system offers nothing of that kind.
type Host struct{}

// SetupOptions say what a program can offer. Nothing of it is used here.
type SetupOptions struct {
	Guard        string // early.GuardName
	OnlyCommands bool   // the program starts nothing but commands
}

// Setup prepares the program for starting processes.
func Setup(SetupOptions) *Host { return &Host{} }

// Run calls f and returns what it did.
func (h *Host) Run(f func() int) int { return f() }

// ReserveThreads does nothing: where the bounds are is not known here.
func (h *Host) ReserveThreads() error { return nil }

// Exclude calls f.
func (h *Host) Exclude(f func()) { f() }

// LogTo does nothing: there is nothing to tell.
func (h *Host) LogTo(*slog.Logger) {}

// RestrictKillDomain refuses every kill domain but the one that there is.
func (h *Host) RestrictKillDomain(best KillDomain) error {
	if best != systemDomain {
		return fmt.Errorf("there is no kill domain %q on this system; it is %s", best, systemDomain)
	}
	return nil
}

// SetLimits refuses every limit.
func (h *Host) SetLimits(Limits) error {
	return fmt.Errorf("%w: this system has no cgroups", ErrMemoryLimit)
}

// KillDomain returns the kill domain.
func (h *Host) KillDomain() KillDomain { return systemDomain }

// Report returns what was found.
func (h *Host) Report() Report { return Report{KillDomain: systemDomain} }

// Sweep does nothing: nothing marks what another program has left behind.
func (h *Host) Sweep() {}
