//go:build unix

package proctest

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Cue returns a named pipe, and a function that releases all who read a line of it,
// now and later. In a shell: read x < FILE.
func Cue(t testing.TB) (file string, give func()) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "cue")
	if err := syscall.Mkfifo(file, 0o600); err != nil {
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
