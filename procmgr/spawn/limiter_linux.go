package spawn

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
// started. The error is [ErrMemoryLimit] or [ErrPidsLimit], and why, or of a negative
// limit. Limits of
// setrlimit(2) do not stand in: RLIMIT_AS counts addresses, not memory, and of each
// process by itself; RLIMIT_NPROC counts everything of the user.
func (h *Host) SetLimits(limits Limits) error {
	if min(limits.Memory, limits.MemoryPerScope, limits.Pids, limits.PidsPerScope) < 0 {
		return errors.New("a limit is negative")
	}
	l, err := h.newLimiter(limits)
	h.limiter = l
	return err
}

// newLimiter returns a limiter that has been tried.
func (h *Host) newLimiter(limits Limits) (l *limiter, err error) {
	h.prepare()
	l = &limiter{limits: limits, groups: map[string]*group{}}
	if limits.Memory > 0 || limits.MemoryPerScope > 0 {
		if l.memory, err = h.findController("memory"); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMemoryLimit, err)
		}
	}
	if limits.Pids > 0 || limits.PidsPerScope > 0 {
		if l.pids, err = h.findController("pids"); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrPidsLimit, err)
		}
	}
	if err := h.tryLimits(l); err != nil {
		l.close()
		sentinel := ErrMemoryLimit
		if l.memory == nil {
			sentinel = ErrPidsLimit
		}
		return nil, fmt.Errorf("%w: %w", sentinel, err)
	}
	return l, nil
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
		if err := l.makeLocked(g.path, l.limits.MemoryPerScope, l.limits.PidsPerScope); err != nil {
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
