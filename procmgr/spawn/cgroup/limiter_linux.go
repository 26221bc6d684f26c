package cgroup

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/proctor-mcp/proctor/procmgr/lockorder"
	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// Limiter puts each command into cgroups of its own, below those of its scope, in the
// hierarchies of the controllers that its limits need.
type Limiter struct {
	limits       Limits
	memory, pids *controller // nil unless it is needed

	mu     lockorder.Mutex[limiterPlace] // guards the fields below
	names  int                           // how many directories got a name
	scopes map[string]*scope             // by name, those that have commands
	stale  []string                      // directories that could not be removed yet
}

type limiterPlace struct{}

func (limiterPlace) Place() (int, bool) { return 30, true }

// scope is a scope that has commands.
type scope struct {
	path     string
	commands int
	refused  int64 // starts that its limit of pids has refused
}

// Place is where the limiter puts one command.
type Place struct {
	l         *Limiter
	scope     string // its name
	scopePath string // the scope's cgroup, below the directory of each controller
	path      string // the command's cgroup, likewise
	refusals  int64  // forks that the limit of the scope had refused before it was made
}

// NewLimiter returns a limiter that was tried with a command in a place. domain is the
// directory of the kill domain's cgroups, "" if there are none. The error is
// [ErrMemoryLimit] or [ErrPidsLimit], and why.
func NewLimiter(limits Limits, instance procfs.Instance, domain string, try func(*Place) error) (l *Limiter, err error) {
	l = &Limiter{limits: limits, scopes: map[string]*scope{}}
	if limits.Memory > 0 || limits.MemoryPerScope > 0 {
		if l.memory, err = findController("memory", instance, domain); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMemoryLimit, err)
		}
	}
	if limits.Pids > 0 || limits.PidsPerScope > 0 {
		if l.pids, err = findController("pids", instance, domain); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrPidsLimit, err)
		}
	}
	place, err := l.Admit("")
	if err == nil {
		err = try(place)
		place.Release()
	}
	if err != nil {
		l.Close()
		sentinel := ErrMemoryLimit
		if l.memory == nil {
			sentinel = ErrPidsLimit
		}
		return nil, fmt.Errorf("%w: %w", sentinel, err)
	}
	return l, nil
}

// controllers calls f for each that is used, and returns the first error.
func (l *Limiter) controllers(f func(*controller) error) (err error) {
	if l.memory != nil {
		err = f(l.memory)
	}
	if l.pids != nil && (l.memory == nil || !l.memory.v2 || !l.pids.v2) { // else both are the same directory
		err = cmp.Or(err, f(l.pids))
	}
	return err
}

// Admit makes the place of a command.
func (l *Limiter) Admit(name string) (*Place, error) {
	if l == nil {
		return nil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweepLocked()
	s := l.scopes[name]
	if s == nil {
		l.names++
		s = &scope{path: "scope-" + strconv.Itoa(l.names)}
		if err := l.makeLocked(s.path, l.limits.MemoryPerScope, l.limits.PidsPerScope); err != nil {
			return nil, err
		}
		l.scopes[name] = s
	}
	l.names++
	p := &Place{l: l, scope: name, scopePath: s.path, path: filepath.Join(s.path, strconv.Itoa(l.names))}
	s.commands++
	err := l.controllers(func(c *controller) error {
		if c.v2 {
			return l.enable(s.path)
		}
		return nil
	})
	if err == nil {
		err = l.makeLocked(p.path, l.limits.Memory, l.limits.Pids)
	}
	if err != nil {
		l.releaseLocked(p)
		return nil, err
	}
	p.refusals, _ = p.scopeRefusalsLocked()
	return p, nil
}

// scopeRefusalsLocked counts the forks of commands that the limit of the scope has
// refused. ok is false before Linux 6.11, which counts them elsewhere.
func (p *Place) scopeRefusalsLocked() (n int64, ok bool) {
	if p.l.pids == nil || p.l.limits.PidsPerScope == 0 {
		return 0, false
	}
	n, ok = p.l.pids.value(p.scopePath, "pids.events.local", "max ")
	return n - p.l.scopes[p.scope].refused, ok
}

// dirV2 returns the directory of its cgroup of version 2, "" if it has none.
func (p *Place) dirV2() (dir string) {
	if p != nil {
		_ = p.l.controllers(func(c *controller) error {
			if c.v2 {
				dir = filepath.Join(c.dir, p.path)
			}
			return nil
		})
	}
	return dir
}

func (l *Limiter) enable(path string) (err error) {
	for _, c := range []*controller{l.memory, l.pids} {
		if c != nil && c.v2 {
			err = cmp.Or(err, enable(filepath.Join(c.dir, path), c.name))
		}
	}
	return err
}

// makeLocked makes a cgroup in each hierarchy, with its bounds.
func (l *Limiter) makeLocked(path string, memory, pids int64) error {
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

// Release removes the place of a command, of which nothing is left.
func (p *Place) Release() {
	if p == nil {
		return
	}
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	p.l.releaseLocked(p)
}

func (l *Limiter) releaseLocked(p *Place) {
	l.removeLocked(p.path)
	s := l.scopes[p.scope]
	if s.commands--; s.commands == 0 {
		delete(l.scopes, p.scope)
		l.removeLocked(s.path)
	}
}

// removeLocked removes a path in each hierarchy, later if the kernel still holds
// something of it.
func (l *Limiter) removeLocked(path string) {
	_ = l.controllers(func(c *controller) error {
		l.stale = append(l.stale, filepath.Join(c.dir, path))
		return nil
	})
	l.sweepLocked()
}

func (l *Limiter) sweepLocked() {
	l.stale = slices.DeleteFunc(l.stale, func(dir string) bool { return procfs.RemoveCgroup(dir) == nil })
}

// Close removes what the limiter has made, when nothing runs.
func (l *Limiter) Close() {
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
