package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// controller is one of memory and pids, in the cgroup hierarchy that has it.
type controller struct {
	name string
	v2   bool
	dir  string // has the cgroups of the limiter; in v2 it is that of the kill domain
	home string // in v1, the cgroup to which a thread returns after a fork
}

// findController looks for a controller that the program may use, in the one
// hierarchy that has it (cgroups(7)), and makes its directory there.
func findController(name string, instance procfs.Instance, domain string) (*controller, error) {
	own, err := Own(name)
	switch {
	case err == errNoHierarchy:
		return delegatedController(name, domain)
	case err != nil:
		return nil, err
	}
	c := &controller{name: name, home: own, dir: filepath.Join(own, dirName(instance.String()))}
	if err := os.Mkdir(c.dir, 0o755); err != nil && !os.IsExist(err) {
		return nil, err
	}
	return c, nil
}

// delegatedController enables a v2 controller for the cgroups of the kill domain, in
// whose directory they are.
func delegatedController(name, domain string) (*controller, error) {
	if domain == "" {
		return nil, errors.New("it needs the kill domain cgroup")
	}
	own := filepath.Dir(domain)
	have, err := os.ReadFile(own + "/cgroup.controllers")
	if err != nil {
		return nil, err
	}
	if !slices.Contains(strings.Fields(string(have)), name) {
		return nil, fmt.Errorf("the controller is not delegated to %s (systemd: Delegate=yes)", own)
	}
	if err := vacate(own, procfs.ServerCgroup(domain)); err != nil {
		return nil, err
	}
	for _, dir := range []string{own, domain} {
		if err := enable(dir, name); err != nil {
			_ = procfs.RestoreCgroup(domain) // another process has entered in between
			return nil, err
		}
	}
	return &controller{name: name, v2: true, dir: domain}, nil
}

// vacate moves the program out of its own cgroup into a new one below it. Only the root
// cgroup can hold processes and enable controllers for those below at the same time ("no
// internal processes" in cgroups(7)). For pids, a threaded controller, the kernel allows
// it elsewhere too, but then no process can start in the cgroups below.
func vacate(own, server string) error {
	if _, err := os.Stat(own + "/cgroup.type"); os.IsNotExist(err) {
		return nil // own is the root
	}
	text, err := os.ReadFile(own + "/cgroup.procs")
	if err != nil {
		return err
	}
	self := strconv.Itoa(os.Getpid())
	switch pids := strings.Fields(string(text)); {
	case len(pids) == 0:
		return nil // the program has moved already
	case len(pids) > 1 || pids[0] != self:
		return fmt.Errorf("other processes than the server are in %s", own)
	}
	if err := os.Mkdir(server, 0o755); err != nil && !os.IsExist(err) {
		return err
	}
	return os.WriteFile(server+"/cgroup.procs", []byte("0"), 0) // 0 is the writer
}

// enable enables a controller for the cgroups below a directory.
func enable(dir, name string) error {
	return os.WriteFile(dir+"/cgroup.subtree_control", []byte("+"+name), 0)
}

// limit sets the bound of a cgroup below dir.
func (c *controller) limit(path string, n int64) error {
	dir := filepath.Join(c.dir, path)
	number := []byte(strconv.FormatInt(n, 10))
	switch {
	case c.name == "pids":
		return os.WriteFile(dir+"/pids.max", number, 0)
	case c.v2:
		// Swapped out it would not count.
		_ = os.WriteFile(dir+"/memory.swap.max", []byte("0"), 0)
		return os.WriteFile(dir+"/memory.max", number, 0)
	}
	err := os.WriteFile(dir+"/memory.limit_in_bytes", number, 0)
	if err == nil {
		// With swap; the kernel may not count it.
		_ = os.WriteFile(dir+"/memory.memsw.limit_in_bytes", number, 0)
	}
	return err
}

// value reads a number of a cgroup below dir: that of a line that begins with key,
// or the only one. ok is false if it cannot be read.
func (c *controller) value(path, file, key string) (n int64, ok bool) {
	text, err := os.ReadFile(filepath.Join(c.dir, path, file))
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		if number, found := strings.CutPrefix(strings.TrimSpace(line), key); found {
			n, err = strconv.ParseInt(strings.TrimSpace(number), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// oomKills is how many processes of a cgroup the kernel has killed for want of
// memory.
func (c *controller) oomKills(path string) int64 {
	file := "memory.oom_control"
	if c.v2 {
		file = "memory.events"
	}
	n, _ := c.value(path, file, "oom_kill ")
	return n
}

// memoryFull reports whether a cgroup has reached its bound.
func (c *controller) memoryFull(path string, bound int64) bool {
	if c.v2 {
		n, _ := c.value(path, "memory.events", "oom ")
		return n > 0
	}
	// memory.failcnt would tell, but Linux 6.18 does not count it any more. A charge
	// that does not fit is seldom more than some pages.
	const charge = 1 << 20
	peak, ok := c.value(path, "memory.max_usage_in_bytes", "")
	return ok && peak > bound-charge
}
