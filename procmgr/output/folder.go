package output

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"sync/atomic"
)

// Folder is where stores have their files. The files have no names: each is removed
// from the folder as soon as it is open, so that none is left whatever happens to
// the program. (Windows removes them when they are closed.)
type Folder struct {
	root  *os.Root
	files atomic.Int64  // open files
	most  int64         // files that may be open
	names atomic.Uint64 // names that were used
}

// OpenFolder opens a folder, and makes it if it does not exist. A folder that exists
// must belong to the program's user alone (mode 0700) and be no symbolic link. Files
// that a killed program has left there are removed, and nothing else.
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

// prepare checks that the opened folder is the one that was seen before and that no
// other user can open it. It then removes what was left in it.
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
			_ = f.root.Remove(e.Name()) // it may be gone, or on Windows in use
		}
	}
	return err
}

// create makes a file that nobody else can open.
func (f *Folder) create() (*os.File, error) {
	if f.files.Add(1) > f.most {
		f.files.Add(-1)
		return nil, fmt.Errorf("%d files are open, no more are allowed", f.most)
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
	if err != nil && !os.IsNotExist(err) { // another program may have removed it
		f.remove(file)
		return nil, err
	}
	return file, nil
}

// remove closes a file, which frees its room on the disk.
func (f *Folder) remove(file *os.File) {
	file.Close()
	if runtime.GOOS == "windows" {
		_ = f.root.Remove(filepath.Base(file.Name()))
	}
	f.files.Add(-1)
}

// Close closes the folder. Open files stay open.
func (f *Folder) Close() error { return f.root.Close() }
