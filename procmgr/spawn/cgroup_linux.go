package spawn

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

const (
	// spareFew is how many empty cgroups are made ahead: making one takes longer
	// than a start may.
	spareFew = 4
	// spareMost is how many are kept for use again, each with a descriptor.
	spareMost = 32
)

// cgroupName returns the name of an instance's directory. Who sweeps must know
// whether the instance lives, and its number and start mean something in its
// namespaces only.
func cgroupName(instance string) string {
	name := "proctor-" + instance
	for _, ns := range []string{"pid", "time"} {
		id, _ := os.Readlink("/proc/self/ns/" + ns) // "pid:[4026531836]"
		name += "-" + strings.Trim(strings.TrimPrefix(id, ns+":"), "[]")
	}
	return name
}

// cgroups is the pool of cgroups of a host, below one directory (cgroups(7)). A
// nil one has none.
type cgroups struct {
	dir string

	mu        sync.Mutex // guards the fields below
	made      int        // names given so far
	spare     []*cgroup  // empty, never killed
	refilling bool       // more are being made
}

// cgroup is one that is empty or holds one process's domain. A nil one holds
// nothing.
type cgroup struct {
	dir    string
	fd     int         // of dir, kept open: starting in it needs that
	killed atomic.Bool // it kills what is started in it, for ever (shown for Linux 6.18)
	quota  bool        // it is one command's under a limit, and not used again
	spent  cpuTime     // of those that it held before; set while it is in the pool
}

// newCgroups makes the directory below the program's own cgroup.
func newCgroups(own string, instance procfs.Instance) (*cgroups, error) {
	cgroupsOf(own, func(i procfs.Instance, dir string) {
		if lives, err := i.Lives(); err == nil && !lives {
			_ = procfs.RestoreCgroup(dir) // the controllers that it has enabled are in the way
		}
	})
	dir := filepath.Join(own, cgroupName(instance.String()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, "cgroup.kill")); err != nil {
		_ = os.Remove(dir)
		return nil, errors.New("the kernel has no cgroup.kill (Linux 5.14)")
	}
	return &cgroups{dir: dir}, nil
}

// ownCgroup returns the directory of the program's own cgroup v2.
func ownCgroup() (string, error) { return cgroupOf("") }

// errNoHierarchy says that no hierarchy of that kind has the program.
var errNoHierarchy = errors.New("the program is in no such cgroup that it can see")

// cgroupOf returns the directory of the program's own cgroup in the hierarchy of
// a controller of cgroup v1, or with "" in that of cgroup v2.
func cgroupOf(controller string) (string, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	own := ""
	for line := range strings.Lines(string(text)) {
		// cgroups(7): id:controllers:path
		if fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3); len(fields) == 3 && slices.Contains(strings.Split(fields[1], ","), controller) {
			own = fields[2]
		}
	}
	if own == "" || strings.Contains(own, "/../") {
		return "", errNoHierarchy
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(mounts)) {
		// proc_pid_mountinfo(5): id parent dev root mountpoint options… - type source options
		before, after, _ := strings.Cut(line, " - ")
		fields, mount := strings.Fields(before), strings.Fields(after)
		if len(fields) < 5 || len(mount) < 3 {
			continue
		}
		v2 := controller == "" && mount[0] == "cgroup2"
		if !v2 && (mount[0] != "cgroup" || !slices.Contains(strings.Split(mount[2], ","), controller)) {
			continue
		}
		if below, ok := strings.CutPrefix(own, strings.TrimSuffix(fields[3], "/")); ok {
			return filepath.Join(fields[4], below), nil
		}
	}
	return "", errors.New("the cgroup hierarchy is not mounted")
}

// of returns the cgroup of a command: the one that limits it, if limits come by v2.
func (c *cgroups) of(q *quota) *cgroup {
	dir := q.dirV2()
	if dir == "" {
		return c.take()
	}
	g, err := openCgroup(dir)
	if err != nil {
		return nil
	}
	g.quota = true
	return g
}

// take returns an empty cgroup, or nil when none can be had.
func (c *cgroups) take() *cgroup {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	if n := len(c.spare); n > 0 {
		taken := c.spare[n-1]
		c.spare = c.spare[:n-1]
		c.mu.Unlock()
		return taken
	}
	c.mu.Unlock()
	made, err := c.make()
	if err != nil {
		return nil
	}
	return made
}

func (c *cgroups) make() (*cgroup, error) {
	c.mu.Lock()
	c.made++
	dir := filepath.Join(c.dir, strconv.Itoa(c.made))
	c.mu.Unlock()
	err := os.Mkdir(dir, 0o755)
	if os.IsNotExist(err) && os.Mkdir(c.dir, 0o755) == nil {
		err = os.Mkdir(dir, 0o755) // somebody has cleaned up
	}
	if err != nil {
		return nil, err
	}
	return openCgroup(dir)
}

func openCgroup(dir string) (*cgroup, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		_ = os.Remove(dir)
		return nil, err
	}
	return &cgroup{dir: dir, fd: fd}, nil
}

// low says that refill is needed and does not run. It must be called then.
func (c *cgroups) low() bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refilling || len(c.spare) >= spareFew {
		return false
	}
	c.refilling = true
	return true
}

// refill makes spare ones.
func (c *cgroups) refill() {
	for {
		c.mu.Lock()
		enough := len(c.spare) >= spareFew
		c.refilling = !enough
		c.mu.Unlock()
		if enough {
			return
		}
		made, err := c.make()
		if err != nil {
			c.mu.Lock()
			c.refilling = false
			c.mu.Unlock()
			return
		}
		c.keep(made)
	}
}

func (c *cgroups) keep(g *cgroup) {
	c.mu.Lock()
	if len(c.spare) < spareMost {
		c.spare = append(c.spare, g)
		g = nil
	}
	c.mu.Unlock()
	if g != nil {
		c.drop(g)
	}
}

// give takes back a cgroup that should be empty. One that was killed, is not
// empty or is frozen goes.
func (c *cgroups) give(g *cgroup) {
	if g.quota || g.killed.Load() || !g.fresh() {
		c.drop(g)
		return
	}
	c.keep(g)
}

func (c *cgroups) drop(g *cgroup) {
	unix.Close(g.fd)
	procfs.RemoveCgroup(g.dir)
}

// close removes the directory. It fails while something lives below it.
func (c *cgroups) close() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.spare {
		unix.Close(g.fd)
	}
	c.spare = nil
	procfs.RemoveCgroup(c.dir)
}

// restore moves the program back to where it was before limits were set.
func (c *cgroups) restore() {
	if c != nil {
		_ = procfs.RestoreCgroup(c.dir) // what is left is the next server's to sweep
	}
}

// kill ends everything in it and below, whatever forks meanwhile.
func (g *cgroup) kill() {
	if g != nil {
		g.killed.Store(true)
		_ = os.WriteFile(g.dir+"/cgroup.kill", []byte("1"), 0)
	}
}

// fresh says that it is empty and not frozen.
func (g *cgroup) fresh() bool {
	zeros := 0
	g.lines("cgroup.events", func(_, value string) {
		if value == "0" {
			zeros++
		}
	})
	return zeros == 2 // populated and frozen
}

// event returns a value of cgroup.events, "" when it cannot be read.
func (g *cgroup) event(name string) (value string) {
	g.lines("cgroup.events", func(key, v string) {
		if key == name {
			value = v
		}
	})
	return value
}

// lines calls f for each line of a small file. It is read at each exit, so it is
// opened from the directory that is open already.
func (g *cgroup) lines(file string, f func(key, value string)) {
	fd, err := unix.Openat(g.fd, file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	var text [1024]byte
	n, _ := unix.Read(fd, text[:])
	for line := range strings.Lines(string(text[:max(n, 0)])) {
		if key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " "); ok {
			f(key, value)
		}
	}
}

// cpu is the CPU time of everything that was ever in it, ok false if nobody
// counts it.
func (g *cgroup) cpu() (t cpuTime, ok bool) {
	if g == nil {
		return t, false
	}
	g.lines("cpu.stat", func(key, value string) {
		us, _ := strconv.ParseInt(value, 10, 64)
		switch key {
		case "user_usec":
			t.user, ok = time.Duration(us)*time.Microsecond, true
		case "system_usec":
			t.system = time.Duration(us) * time.Microsecond
		}
	})
	return t, ok
}

// populated says that something in it or below is alive, or may be: only a
// cgroup that is gone needs no look, for it was empty.
func (g *cgroup) populated() bool {
	if g == nil {
		return false
	}
	value := g.event("populated")
	if value == "" {
		var st unix.Stat_t
		return unix.Stat(g.dir, &st) == nil
	}
	return value == "1"
}

// pids returns the processes in it and below.
func (g *cgroup) pids() (pids []int) {
	if g == nil {
		return nil
	}
	_ = filepath.WalkDir(g.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		text, _ := os.ReadFile(path + "/cgroup.procs")
		for line := range strings.Lines(string(text)) {
			if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	return pids
}
