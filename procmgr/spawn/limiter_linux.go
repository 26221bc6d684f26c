package spawn

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// limiter puts each command into cgroups of its own, below those of its group, in
// the hierarchies of the controllers that its limits need. A nil one limits
// nothing.
type limiter struct {
	limits       Limits
	memory, pids *controller // nil unless it is needed

	mu     sync.Mutex // guards the fields below
	names  int        // given so far
	groups map[string]*group
	stale  []string // directories that could not be removed yet
}

// group is one with commands.
type group struct {
	path     string
	commands int
}

// quota is a command's place in the limiter. A nil one is none.
type quota struct {
	l     *limiter
	name  string // of its group
	group string // the path of its group
	path  string // its own
}

// SetLimits bounds what commands use. It is called once, before anything is
// started. The error is ErrMemoryLimit or ErrPidsLimit, and why. Limits of
// setrlimit(2) do not stand in: RLIMIT_AS counts addresses, not memory, and of each
// process by itself; RLIMIT_NPROC counts everything of the user.
func (h *Host) SetLimits(limits Limits) error {
	h.prepare()
	l := &limiter{limits: limits, groups: map[string]*group{}}
	var err error
	if limits.Memory > 0 || limits.MemoryPerGroup > 0 {
		if l.memory, err = h.findController("memory"); err != nil {
			return fmt.Errorf("%w: %w", ErrMemoryLimit, err)
		}
	}
	if limits.Pids > 0 || limits.PidsPerGroup > 0 {
		if l.pids, err = h.findController("pids"); err != nil {
			return fmt.Errorf("%w: %w", ErrPidsLimit, err)
		}
	}
	if err := h.tryLimits(l); err != nil {
		l.close()
		sentinel := ErrMemoryLimit
		if l.memory == nil {
			sentinel = ErrPidsLimit
		}
		return fmt.Errorf("%w: %w", sentinel, err)
	}
	h.limiter = l
	return nil
}

// tryLimits starts a child under the limits.
func (h *Host) tryLimits(l *limiter) error {
	q, err := l.admit("")
	if err != nil {
		return err
	}
	defer q.release()
	g := h.cgroups.of(q)
	if g != nil {
		defer h.cgroups.give(g)
	}
	return h.tryChild(g, q)
}

// controllers calls f for each that is used, and returns the first error.
func (l *limiter) controllers(f func(*controller) error) (err error) {
	if l.memory != nil {
		err = f(l.memory)
	}
	if l.pids != nil && (l.memory == nil || !l.memory.v2 || !l.pids.v2) { // else both are the same directory
		err = cmp.Or(err, f(l.pids))
	}
	return err
}

// admit makes the place of a command.
func (l *limiter) admit(name string) (*quota, error) {
	if l == nil {
		return nil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweepLocked()
	g := l.groups[name]
	if g == nil {
		l.names++
		g = &group{path: "group-" + strconv.Itoa(l.names)}
		if err := l.makeLocked(g.path, l.limits.MemoryPerGroup, l.limits.PidsPerGroup); err != nil {
			return nil, err
		}
		l.groups[name] = g
	}
	l.names++
	q := &quota{l: l, name: name, group: g.path, path: filepath.Join(g.path, strconv.Itoa(l.names))}
	g.commands++
	err := l.controllers(func(c *controller) error {
		if c.v2 {
			return l.giveOn(g.path)
		}
		return nil
	})
	if err == nil {
		err = l.makeLocked(q.path, l.limits.Memory, l.limits.Pids)
	}
	if err != nil {
		l.releaseLocked(q)
		return nil, err
	}
	return q, nil
}

// dirV2 is the directory of its v2 cgroup, "" without one.
func (q *quota) dirV2() (dir string) {
	if q != nil {
		_ = q.l.controllers(func(c *controller) error {
			if c.v2 {
				dir = filepath.Join(c.dir, q.path)
			}
			return nil
		})
	}
	return dir
}

func (l *limiter) giveOn(path string) (err error) {
	for _, c := range []*controller{l.memory, l.pids} {
		if c != nil && c.v2 {
			err = cmp.Or(err, giveOn(filepath.Join(c.dir, path), c.name))
		}
	}
	return err
}

// makeLocked makes a cgroup in each hierarchy, with its bounds.
func (l *limiter) makeLocked(path string, memory, pids int64) error {
	err := l.controllers(func(c *controller) error { return os.Mkdir(filepath.Join(c.dir, path), 0o755) })
	if err == nil && memory > 0 {
		err = l.memory.limit(path, memory)
	}
	if err == nil && pids > 0 {
		err = l.pids.limit(path, pids)
	}
	if err != nil {
		l.removeLocked(path)
	}
	return err
}

// release removes the place of a command of which nothing is left.
func (q *quota) release() {
	if q == nil {
		return
	}
	q.l.mu.Lock()
	defer q.l.mu.Unlock()
	q.l.releaseLocked(q)
}

func (l *limiter) releaseLocked(q *quota) {
	l.removeLocked(q.path)
	g := l.groups[q.name]
	if g.commands--; g.commands == 0 {
		delete(l.groups, q.name)
		l.removeLocked(g.path)
	}
}

// removeLocked removes a path in each hierarchy, later if the kernel still holds
// something of it.
func (l *limiter) removeLocked(path string) {
	_ = l.controllers(func(c *controller) error {
		dir := filepath.Join(c.dir, path)
		if err := unix.Rmdir(dir); err != nil && err != unix.ENOENT {
			l.stale = append(l.stale, dir)
		}
		return nil
	})
}

func (l *limiter) sweepLocked() {
	stale := l.stale
	l.stale = nil
	for _, dir := range stale {
		if err := unix.Rmdir(dir); err != nil && err != unix.ENOENT {
			l.stale = append(l.stale, dir)
		}
	}
}

// close removes what the limiter has made, when nothing runs.
func (l *limiter) close() {
	if l == nil {
		return
	}
	_ = l.controllers(func(c *controller) error {
		if !c.v2 { // else the kill domain's
			procfs.RemoveCgroup(c.dir)
		}
		return nil
	})
}

// sweepInstances removes what instances that do not live have left in v1, where a
// guard does not look: it is empty.
func sweepInstances() {
	for _, name := range []string{"memory", "pids"} {
		own, err := cgroupOf(name)
		if err != nil {
			continue
		}
		cgroupsOf(own, func(i procfs.Instance, dir string) {
			if lives, err := i.Lives(); err == nil && !lives {
				procfs.RemoveCgroup(dir)
			}
		})
	}
}

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
		if n := q.l.limits.PidsPerGroup; n > 0 {
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

// refused explains an error of a fork by a limit, if one is used up.
func (q *quota) refused(err error) error {
	if q == nil || err != unix.EAGAIN || q.l.pids == nil {
		return err
	}
	most := q.l.limits.PidsPerGroup
	// Others of our threads may count there for the moment.
	if used, ok := q.l.pids.value(q.group, "pids.current", ""); ok && most > 0 && used >= most {
		return &LimitError{LimitPidsPerGroup, min(used, most), most, err}
	}
	return err
}

// reached returns the limits that the command has run into.
func (q *quota) reached() (list []Limit) {
	if q == nil {
		return nil
	}
	if limit := q.memoryReached(); limit != "" {
		list = append(list, limit)
	}
	if limit := q.pidsReached(); limit != "" {
		list = append(list, limit)
	}
	return list
}

// memoryReached says which limit had something of the command killed, if one had.
func (q *quota) memoryReached() Limit {
	c := q.l.memory
	switch {
	case c == nil || c.oomKills(q.path) == 0:
		return ""
	case q.l.limits.Memory > 0 && c.memoryFull(q.path, q.l.limits.Memory):
		return LimitMemory
	case q.l.limits.MemoryPerGroup > 0 && c.memoryFull(q.group, q.l.limits.MemoryPerGroup):
		return LimitMemoryPerGroup
	}
	return "" // the machine has no more
}

// pidsReached says which limit has refused a fork of the command, if one has.
func (q *quota) pidsReached() Limit {
	c := q.l.pids
	if c == nil {
		return ""
	}
	refused, _ := c.value(q.path, "pids.events", "max ")
	if refused == 0 && c.v2 { // since Linux 6.11 it counts there where the limit is
		refused, _ = c.value(q.path, "pids.events.local", "max ")
	}
	if refused == 0 {
		return ""
	}
	own := q.l.limits.Pids
	if own == 0 {
		return LimitPidsPerGroup
	}
	// Linux 6.11 knows the most that there were.
	if peak, ok := c.value(q.path, "pids.peak", ""); ok && peak < own && q.l.limits.PidsPerGroup > 0 {
		return LimitPidsPerGroup
	}
	return LimitPids
}

// maxMemory is the most that the command and what it forked have held, 0 if
// nobody counts it.
func (q *quota) maxMemory() int64 {
	if q == nil || q.l.memory == nil {
		return 0
	}
	file := "memory.max_usage_in_bytes"
	if q.l.memory.v2 {
		file = "memory.peak" // Linux 5.19
	}
	n, _ := q.l.memory.value(q.path, file, "")
	return n
}
