package output

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"sync/atomic"
)

// Folder is where stores have their files. They have no names: each is removed
// from the folder as soon as it is open, so that none is left whatever happens to
// the program. (Windows removes them when they are closed.)
type Folder struct {
	root  *os.Root
	files atomic.Int64 // open ones
	most  int64        // of them
	names atomic.Uint64
}

// OpenFolder opens a folder, and makes it if it does not exist. One that exists must
// belong to the program's user alone (mode 0700) and be no symbolic link. What a
// program that was killed has left there is removed, and nothing else.
func OpenFolder(path string) (*Folder, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !os.IsExist(err) {
		return nil, err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is not a directory", path)
	}
	if err := ours(info); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	f := &Folder{root: root, most: maxFiles()}
	if err := f.prepare(info); err != nil {
		root.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// prepare looks whether what was opened is what was looked at and is closed to
// others, and removes what was left in it.
func (f *Folder) prepare(seen os.FileInfo) error {
	dir, err := f.root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	opened, err := dir.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(seen, opened) {
		return fmt.Errorf("it was replaced")
	}
	if mode := opened.Mode().Perm(); runtime.GOOS != "windows" && mode != 0o700 {
		return fmt.Errorf("its mode is %04o, not 0700; name a folder that is used for nothing else", mode)
	}
	ours, err := regexp.Compile(`^output-[0-9]+-[0-9]+$`)
	if err != nil {
		return err
	}
	entries, err := dir.ReadDir(-1)
	for _, e := range entries {
		if e.Type().IsRegular() && ours.MatchString(e.Name()) {
			_ = f.root.Remove(e.Name()) // it may be gone, or in use on Windows
		}
	}
	return err
}

// create makes a file that nobody else can open.
func (f *Folder) create() (*os.File, error) {
	if f.files.Add(1) > f.most {
		f.files.Add(-1)
		return nil, fmt.Errorf("%d files are open, the most there may be", f.most)
	}
	name := fmt.Sprintf("output-%d-%d", os.Getpid(), f.names.Add(1))
	file, err := f.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) // O_EXCL follows no link
	if err != nil {
		f.files.Add(-1)
		return nil, err
	}
	if runtime.GOOS != "windows" {
		err = f.root.Remove(name)
	}
	if err != nil && !os.IsNotExist(err) { // another program may have cleared it away
		f.remove(file)
		return nil, err
	}
	return file, nil
}

// remove closes a file, and with that frees its room.
func (f *Folder) remove(file *os.File) {
	file.Close()
	if runtime.GOOS == "windows" {
		_ = f.root.Remove(filepath.Base(file.Name()))
	}
	f.files.Add(-1)
}

// Close lets go of the folder. Files that are open stay so.
func (f *Folder) Close() error { return f.root.Close() }
