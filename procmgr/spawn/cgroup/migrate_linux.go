package cgroup

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/proctor-mcp/proctor/procmgr/lockorder"
)

// migration moves a thread to a place and back. All files are opened before it moves: in
// a cgroup whose memory is used up nothing can be opened any more, and a thread that
// stayed there would take the whole program down.
type migration struct {
	tasks, home []*os.File // of each hierarchy
	bounds      []*os.File // the limits on pids of the command and of its scope
	most        []int64    // their values
}

// Enter moves the calling thread, which must be locked, to where its next child
// shall be. Version 1 has no other way to start a process in a cgroup. But it moves
// single threads, and a child begins where its thread is. The returned function moves the
// thread back.
func (p *Place) Enter() (back func() error, err error) {
	lockorder.Slow()
	m, err := p.openMigration()
	if err != nil {
		m.close()
		return nil, err
	}
	leave := func() error {
		defer m.close()
		err := m.allow(0) // before the thread leaves, or there would be room for one more
		for _, home := range m.home {
			err = cmp.Or(err, writeTo(home, "0"))
		}
		return err
	}
	// Our thread counts while it is there, so the limits are one higher meanwhile. For
	// that moment another process of the scope may use what was added.
	if err = m.allow(1); err == nil {
		for _, tasks := range m.tasks {
			err = cmp.Or(err, writeTo(tasks, "0")) // 0 is the writer
		}
	}
	if err != nil {
		return nil, errors.Join(err, leave())
	}
	return leave, nil
}

func (p *Place) openMigration() (m migration, err error) {
	open := func(list *[]*os.File, path string) {
		file, openErr := os.OpenFile(path, os.O_WRONLY, 0)
		if openErr == nil {
			*list = append(*list, file)
		}
		err = cmp.Or(err, openErr)
	}
	_ = p.l.controllers(func(c *controller) error {
		if !c.v2 {
			open(&m.tasks, filepath.Join(c.dir, p.path, "tasks"))
			open(&m.home, filepath.Join(c.home, "tasks"))
		}
		return nil
	})
	if c := p.l.pids; c != nil && !c.v2 {
		if n := p.l.limits.Pids; n > 0 {
			open(&m.bounds, filepath.Join(c.dir, p.path, "pids.max"))
			m.most = append(m.most, n)
		}
		if n := p.l.limits.PidsPerScope; n > 0 {
			open(&m.bounds, filepath.Join(c.dir, p.scopePath, "pids.max"))
			m.most = append(m.most, n)
		}
	}
	return m, err
}

func (m *migration) allow(more int64) (err error) {
	for i, bound := range m.bounds {
		err = cmp.Or(err, writeTo(bound, strconv.FormatInt(m.most[i]+more, 10)))
	}
	return err
}

func (m *migration) close() {
	for _, file := range slices.Concat(m.tasks, m.home, m.bounds) {
		file.Close()
	}
}

func writeTo(file *os.File, text string) error {
	_, err := file.WriteAt([]byte(text), 0)
	return err
}
