//go:build linux

package output

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A full disk costs what lies between, and says so; nothing that was kept is lost.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=3m,mode=700"); err != nil {
		t.Skip("only root can mount: ", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	folder, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	s := &Store{Space: &Space{Folder: folder}}
	var all []byte
	write := func(n int) {
		p := bytes.Repeat([]byte{byte('a' + len(all)%7)}, n)
		all = append(all, p...)
		s.Append(Stdout, p)
	}
	for s.Failure() == nil && len(all) < 8<<20 {
		write(50_001)
	}
	if !errors.Is(s.Failure(), unix.ENOSPC) {
		t.Fatalf("after %d bytes: %v", len(all), s.Failure())
	}
	for range 20 {
		write(50_001)
	}
	if kept := s.Kept(0, s.Total()); kept < 2<<20 || kept == s.Total() {
		t.Errorf("%d of %d bytes are kept", kept, s.Total())
	}
	(&model{all: all}).check(t, s)
	// A second store has no room on the disk at all, and keeps what memory may hold.
	full := &Store{Space: s.Space}
	full.Append(Stdout, all)
	if !errors.Is(full.Failure(), unix.ENOSPC) || full.Kept(0, full.Total()) != MemoryBytes {
		t.Errorf("%v; %d bytes are kept", full.Failure(), full.Kept(0, full.Total()))
	}
	(&model{all: all}).check(t, full)
	s.Close()
	if after := (&Store{Space: s.Space}); true { // there is room again
		after.Append(Stdout, all[:1<<20])
		if after.Failure() != nil || after.Kept(0, 1<<20) != 1<<20 {
			t.Errorf("%v", after.Failure())
		}
		after.Close()
	}
}

func TestFolders(t *testing.T) {
	dir := t.TempDir()
	// What a program has left is cleared away, and others are kept out.
	mine := filepath.Join(dir, "a", "mine")
	if err := errors.Join(os.MkdirAll(mine, 0o755), os.Mkdir(filepath.Join(mine, "output-2-2"), 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"output-1-1", "output-results.csv", "other"} {
		if err := os.WriteFile(filepath.Join(mine, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenFolder(mine); err == nil || !strings.Contains(err.Error(), "0755") {
		t.Errorf("a folder that is open to others: %v", err)
	}
	if err := os.Chmod(mine, 0o700); err != nil {
		t.Fatal(err)
	}
	folder, err := OpenFolder(mine)
	if err != nil {
		t.Fatal(err)
	}
	folder.most = 1
	names, _ := filepath.Glob(mine + "/*")
	if len(names) != 3 {
		t.Errorf("%v is left", names)
	}
	file, err := folder.create()
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := file.Stat(); info.Mode().Perm() != 0o600 {
		t.Errorf("a file has mode %v", info.Mode())
	}
	if _, err := folder.create(); err == nil || !strings.Contains(err.Error(), "no more are allowed") {
		t.Errorf("one file too many: %v", err)
	}
	folder.remove(file)

	// A link in the place of the folder is not followed, also if it is put there later.
	link := filepath.Join(dir, "link")
	if err := os.Symlink(mine, link); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFolder(link); err == nil || !strings.Contains(err.Error(), "is not a directory") {
		t.Errorf("a link: %v", err)
	}
	elsewhere := filepath.Join(dir, "elsewhere")
	if err := errors.Join(os.Mkdir(elsewhere, 0o755), os.Rename(mine, mine+"-moved"), os.Symlink(elsewhere, mine)); err != nil {
		t.Fatal(err)
	}
	if file, err := folder.create(); err != nil {
		t.Errorf("the folder that was opened is not used any more: %v", err)
	} else {
		folder.remove(file)
	}
	if left, _ := filepath.Glob(elsewhere + "/*"); len(left) != 0 {
		t.Errorf("%v came out at the other end of the link", left)
	}

	if os.Getuid() == 0 {
		foreign := filepath.Join(dir, "foreign")
		if err := errors.Join(os.Mkdir(foreign, 0o777), os.Chown(foreign, 65534, 65534)); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenFolder(foreign); err == nil || !strings.Contains(err.Error(), "another user") {
			t.Errorf("another user's folder: %v", err)
		}
	}
	// The folder is removed.
	if err := os.RemoveAll(mine + "-moved"); err != nil {
		t.Fatal(err)
	}
	s := &Store{Space: &Space{Folder: folder}}
	s.Append(Stdout, make([]byte, 1<<20))
	if s.Failure() == nil || s.Kept(0, 1<<20) != MemoryBytes {
		t.Errorf("no folder: %v", s.Failure())
	}
}
