package spawn

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// visit is how a thread goes to a quota and back. All files are open before it
// goes: in a cgroup whose memory is used up nothing can be opened any more, and a
// thread that stayed there would take the whole program down.
type visit struct {
	tasks, home []*os.File // of each hierarchy
	bounds      []*os.File // on pids, of the command and of its group
	most        []int64    // and what they are
}

// enter moves the calling thread, which must be locked, to where its next child
// shall be. v1 knows no other way to start one in a cgroup: but it moves single
// threads, and a child begins where its thread is. The returned function moves it
// back.
func (q *quota) enter() (back func() error, err error) {
	v, err := q.visit()
	if err != nil {
		v.close()
		return nil, err
	}
	leave := func() error {
		defer v.close()
		err := v.allow(0) // first: with us gone there would be room for one too many
		for _, home := range v.home {
			err = cmp.Or(err, writeTo(home, "0"))
		}
		return err
	}
	// Our own thread counts while it is there. For that moment another of the group
	// may take its place.
	if err = v.allow(1); err == nil {
		for _, tasks := range v.tasks {
			err = cmp.Or(err, writeTo(tasks, "0")) // 0 is the writer
		}
	}
	if err != nil {
		return nil, errors.Join(err, leave())
	}
	return leave, nil
}

func (q *quota) visit() (v visit, err error) {
	open := func(list *[]*os.File, path string) {
		file, openErr := os.OpenFile(path, os.O_WRONLY, 0)
		if openErr == nil {
			*list = append(*list, file)
		}
		err = cmp.Or(err, openErr)
	}
	_ = q.l.controllers(func(c *controller) error {
		if !c.v2 {
			open(&v.tasks, filepath.Join(c.dir, q.path, "tasks"))
			open(&v.home, filepath.Join(c.home, "tasks"))
		}
		return nil
	})
	if c := q.l.pids; c != nil && !c.v2 {
		if n := q.l.limits.Pids; n > 0 {
			open(&v.bounds, filepath.Join(c.dir, q.path, "pids.max"))
			v.most = append(v.most, n)
		}
		if n := q.l.limits.PidsPerScope; n > 0 {
			open(&v.bounds, filepath.Join(c.dir, q.group, "pids.max"))
			v.most = append(v.most, n)
		}
	}
	return v, err
}

func (v *visit) allow(more int64) (err error) {
	for i, bound := range v.bounds {
		err = cmp.Or(err, writeTo(bound, strconv.FormatInt(v.most[i]+more, 10)))
	}
	return err
}

func (v *visit) close() {
	for _, file := range slices.Concat(v.tasks, v.home, v.bounds) {
		file.Close()
	}
}

func writeTo(file *os.File, text string) error {
	_, err := file.WriteAt([]byte(text), 0)
	return err
}
