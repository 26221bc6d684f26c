package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/lockorder"
	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

const (
	// spareFew is how many empty cgroups are made ahead: making one takes longer
	// than a start may.
	spareFew = 4
	// spareMost is how many are kept for use again, each with a descriptor.
	spareMost = 32
)

// Pool has the cgroups of the kill domain, below one directory.
type Pool struct {
	dir string

	mu        lockorder.Mutex[poolPlace] // guards the fields below
	made      int                        // names given so far
	spare     []*Cgroup                  // empty, never killed
	refilling bool                       // more are being made
}

type poolPlace struct{}

func (poolPlace) Place() (int, bool) { return 500, false }

// NewPool makes the directory below the program's own cgroup, and tries whether a
// command can run there.
func NewPool(instance procfs.Instance, try func(*Cgroup) error) (*Pool, error) {
	own, err := Own("")
	if err != nil {
		return nil, err
	}
	Instances(own, func(i procfs.Instance, dir string) {
		if lives, err := i.Lives(); err == nil && !lives {
			// Nothing starts below own while the controllers of that instance are enabled.
			_ = procfs.RemoveCgroup(dir)
			_ = procfs.RestoreCgroup(dir)
		}
	})
	p := &Pool{dir: filepath.Join(own, dirName(instance.String()))}
	if err := os.Mkdir(p.dir, 0o755); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(p.dir, "cgroup.kill")); err != nil {
		_ = os.Remove(p.dir)
		return nil, errors.New("the kernel has no cgroup.kill (Linux 5.14)")
	}
	first, err := p.make()
	if err != nil {
		p.Close()
		return nil, err
	}
	if err := try(first); err != nil {
		p.Drop(first)
		p.Close()
		return nil, err
	}
	p.keep(first)
	return p, nil
}

// Dir is the directory, "" of a nil pool.
func (p *Pool) Dir() string {
	if p == nil {
		return ""
	}
	return p.dir
}

// For returns the cgroup of a command: the one that limits it, if limits come by
// version 2, else an empty one of the pool. It is nil if none can be had.
func (p *Pool) For(place *Place) *Cgroup {
	dir := place.dirV2()
	if dir == "" {
		return p.take()
	}
	c, err := open(dir)
	if err != nil {
		return nil
	}
	c.limits = true
	return c
}

func (p *Pool) take() *Cgroup {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	if n := len(p.spare); n > 0 {
		taken := p.spare[n-1]
		p.spare = p.spare[:n-1]
		p.mu.Unlock()
		return taken
	}
	p.mu.Unlock()
	made, err := p.make()
	if err != nil {
		return nil
	}
	return made
}

func (p *Pool) make() (*Cgroup, error) {
	p.mu.Lock()
	p.made++
	dir := filepath.Join(p.dir, strconv.Itoa(p.made))
	p.mu.Unlock()
	err := os.Mkdir(dir, 0o755)
	if os.IsNotExist(err) && os.Mkdir(p.dir, 0o755) == nil {
		err = os.Mkdir(dir, 0o755) // somebody had removed the directory
	}
	if err != nil {
		return nil, err
	}
	return open(dir)
}

// Low reports whether spare cgroups are needed and nobody makes them. The caller must
// then call [Pool.Refill].
func (p *Pool) Low() bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refilling || len(p.spare) >= spareFew {
		return false
	}
	p.refilling = true
	return true
}

// Refill makes spare cgroups.
func (p *Pool) Refill() {
	for {
		p.mu.Lock()
		enough := len(p.spare) >= spareFew
		p.refilling = !enough
		p.mu.Unlock()
		if enough {
			return
		}
		made, err := p.make()
		if err != nil {
			p.mu.Lock()
			p.refilling = false
			p.mu.Unlock()
			return
		}
		p.keep(made)
	}
}

func (p *Pool) keep(c *Cgroup) {
	p.mu.Lock()
	if len(p.spare) < spareMost {
		p.spare = append(p.spare, c)
		c = nil
	}
	p.mu.Unlock()
	if c != nil {
		p.Drop(c)
	}
}

// Give takes back a cgroup that should be empty. It drops one that was killed, is not
// empty or is frozen.
func (p *Pool) Give(c *Cgroup) {
	if c == nil {
		return
	}
	if c.limits || c.spoilt.Load() || !c.fresh() {
		p.Drop(c)
		return
	}
	c.before, _ = c.cpu()
	p.keep(c)
}

// Drop closes a cgroup, and removes it if it is empty.
func (p *Pool) Drop(c *Cgroup) {
	unix.Close(c.fd)
	procfs.RemoveCgroup(c.dir)
}

// Close removes the directory. It stays while something lives below it.
func (p *Pool) Close() {
	if p == nil {
		return
	}
	p.mu.Lock()
	spare := p.spare
	p.spare = nil
	p.mu.Unlock()
	for _, c := range spare {
		unix.Close(c.fd)
	}
	procfs.RemoveCgroup(p.dir)
}

// Restore moves the program back to where it was before limits were set.
func (p *Pool) Restore() {
	if p != nil {
		_ = procfs.RestoreCgroup(p.dir) // what is left is the next server's to sweep
	}
}
