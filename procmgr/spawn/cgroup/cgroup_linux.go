package cgroup

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/lockorder"
)

// Cgroup is a cgroup of version 2. It is empty, or holds what one command forked.
type Cgroup struct {
	dir    string
	fd     int         // of dir: a command is started in the cgroup by it
	limits bool        // it limits one command, and is not used again
	before CPUTime     // counted for earlier commands; set while it is in the pool
	spoilt atomic.Bool // whatever is started in it is killed, for ever (seen on Linux 6.18)
}

// CPUTime is what a cgroup has counted of the CPU time of its processes.
type CPUTime struct{ User, System time.Duration }

func open(dir string) (*Cgroup, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		_ = os.Remove(dir)
		return nil, err
	}
	return &Cgroup{dir: dir, fd: fd}, nil
}

// FD returns the descriptor of its directory, by which a command is started in it.
func (c *Cgroup) FD() int { return c.fd }

// Unusable reports whether a start that failed with err can do without the cgroup:
// somebody else has removed or changed it.
func (c *Cgroup) Unusable(err error) bool {
	return c != nil && !c.limits && err != nil && (err == unix.EBUSY || err == unix.EOPNOTSUPP || c.event("populated") == "")
}

// Kill ends everything in it and below, whatever forks meanwhile.
func (c *Cgroup) Kill() {
	if c != nil {
		lockorder.Slow()
		c.Spoil()
		_ = os.WriteFile(c.dir+"/cgroup.kill", []byte("1"), 0)
	}
}

// Spoil keeps it from being used again, because it was killed, perhaps by somebody else.
func (c *Cgroup) Spoil() {
	if c != nil {
		c.spoilt.Store(true)
	}
}

// Populated reports whether something in it or below is alive. If it cannot be read it
// counts as populated, unless it was removed: only an empty cgroup can be.
func (c *Cgroup) Populated() bool {
	if c == nil {
		return false
	}
	value := c.event("populated")
	if value == "" {
		var st unix.Stat_t
		return unix.Stat(c.dir, &st) == nil
	}
	return value == "1"
}

// Pids returns the processes in it and below.
func (c *Cgroup) Pids() (pids []int) {
	if c == nil {
		return nil
	}
	lockorder.Slow()
	_ = filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
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

// CPU is the CPU time of everything that was in it since it was last taken from the
// pool. ok is false if nobody counts it.
func (c *Cgroup) CPU() (t CPUTime, ok bool) {
	if c == nil {
		return t, false
	}
	t, ok = c.cpu()
	return CPUTime{t.User - c.before.User, t.System - c.before.System}, ok
}

func (c *Cgroup) cpu() (t CPUTime, ok bool) {
	c.lines("cpu.stat", func(key, value string) {
		us, _ := strconv.ParseInt(value, 10, 64)
		switch key {
		case "user_usec":
			t.User, ok = time.Duration(us)*time.Microsecond, true
		case "system_usec":
			t.System = time.Duration(us) * time.Microsecond
		}
	})
	return t, ok
}

// fresh reports whether it is empty and not frozen.
func (c *Cgroup) fresh() bool {
	zeros := 0
	c.lines("cgroup.events", func(_, value string) {
		if value == "0" {
			zeros++
		}
	})
	return zeros == 2 // populated and frozen
}

// event returns a value of cgroup.events, "" when it cannot be read.
func (c *Cgroup) event(name string) (value string) {
	c.lines("cgroup.events", func(key, v string) {
		if key == name {
			value = v
		}
	})
	return value
}

// lines calls visit for each line of a small file. Such a file is read at each exit, so
// it is opened from the directory that is open already, which is faster.
func (c *Cgroup) lines(file string, visit func(key, value string)) {
	lockorder.Slow()
	fd, err := unix.Openat(c.fd, file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	var text [1024]byte
	n, _ := unix.Read(fd, text[:])
	for line := range strings.Lines(string(text[:max(n, 0)])) {
		if key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " "); ok {
			visit(key, value)
		}
	}
}
