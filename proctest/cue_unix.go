//go:build unix

package proctest

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Cue returns a named pipe, and a function that releases all who read a line of it,
// now and later. Every user may read it. In a shell: read x < FILE.
func Cue(t testing.TB) (file string, give func()) {
	t.Helper()
	dir, err := os.MkdirTemp("", "proctor-test-cue-") // only its owner gets into t.TempDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	file = filepath.Join(dir, "cue")
	if err := errors.Join(os.Chmod(dir, 0o755), syscall.Mkfifo(file, 0o644)); err != nil {
		t.Fatal(err)
	}
	// Open for both, it neither waits for a reader nor loses what nobody has read yet.
	pipe, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pipe.Close() })
	return file, func() {
		t.Helper()
		const many = 1000 // readers
		if _, err := pipe.Write(bytes.Repeat([]byte("\n"), many)); err != nil {
			t.Error(err)
		}
	}
}
