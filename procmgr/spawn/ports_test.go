//go:build linux

package spawn

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The kernel lets nobody but root look into a process whose program its user may
// not read. It is left out; of it alone nothing is known.
func TestPortsOfWhatMayNotBeSeen(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("SKIPPED: root may look into everything; test.sh runs this as another user")
	}
	program, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(t.TempDir(), "sleep")
	if err := os.WriteFile(secret, text, 0o111); err != nil {
		t.Fatal(err)
	}
	alone := start(t, Command{Argv: []string{secret, "100"}})
	if ports, err := alone.Ports(); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("alone: got %v, %v", ports, err)
	}
	among := shell(t, secret+" 100 & exec sleep 100")
	if ports, err := among.Ports(); err != nil || ports != nil {
		t.Errorf("among others: got %v, %v", ports, err)
	}
}
