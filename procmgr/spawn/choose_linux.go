package spawn

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// RestrictKillDomain keeps the host from choosing a better kill domain than that. It is called
// before anything is started. KillDomainJob is an error.
func (h *Host) RestrictKillDomain(best KillDomain) error {
	switch best {
	case KillDomainCgroup, KillDomainDescendants, KillDomainProcessGroup:
		h.best = best
		return nil
	}
	return fmt.Errorf("there is no kill domain %q on Linux", best)
}

// KillDomain returns the kill domain. It chooses it at the first call, which takes
// some milliseconds.
func (h *Host) KillDomain() KillDomain {
	h.prepare()
	return h.domain
}

// Report returns what was found, and chooses the domain as [Host.KillDomain] does. If
// there are no limits, it tries whether there could be, for some milliseconds more.
func (h *Host) Report() Report {
	h.prepare()
	report := Report{h.domain, slices.Clone(h.report.Facts)}
	if h.limiter != nil {
		return report
	}
	for _, trial := range []struct {
		name   string
		limits Limits
	}{{"limits of memory", Limits{Memory: 64 << 20}}, {"limits of pids", Limits{Pids: 64}}} {
		l, err := h.newLimiter(trial.limits)
		if err != nil {
			report.add(trial.name, "no", err.Error())
			continue
		}
		l.close()
		report.add(trial.name, "yes", "")
	}
	return report
}

// chooseDomain tries what the machine offers, the best first.
func (h *Host) chooseDomain() {
	h.domain = KillDomainProcessGroup
	if h.best != "" {
		h.report.add("limited to", string(h.best), "")
		defer func() {
			if h.domain != h.best {
				h.log.Load().Warn("the kill domain that was asked for is not to be had; see proctor doctor", "asked", string(h.best), "kill_domain", string(h.domain))
			}
		}()
	}
	if h.adopts && h.best != KillDomainProcessGroup {
		h.domain = KillDomainDescendants
	}
	if err := h.tryCgroups(); err != nil {
		h.report.add("cgroup v2", "no", err.Error())
	} else {
		h.domain = KillDomainCgroup
		h.report.add("cgroup v2", "yes", h.cgroups.dir)
	}
	if fd, err := procfs.OpenPidfd(os.Getpid()); err != nil || h.noPidfd.Load() {
		h.report.add("pidfd", "no", "a thread waits for each command")
	} else {
		unix.Close(fd)
		h.report.add("pidfd", "yes", "")
	}
}

// tryCgroups makes the pool, and runs a child in one of its cgroups: where a
// cgroup above was ever killed the kernel kills what is started below, and a
// system call filter may forbid starting in a cgroup at all.
func (h *Host) tryCgroups() error {
	if h.domain != KillDomainDescendants || h.best == KillDomainDescendants {
		return errors.New("not asked for")
	}
	own, err := ownCgroup()
	if err != nil {
		return err
	}
	pool, err := newCgroups(own, h.self)
	if err != nil {
		return err
	}
	trial, err := pool.make()
	if err != nil {
		pool.close()
		return err
	}
	if err := h.tryChild(trial, nil); err != nil {
		pool.drop(trial)
		pool.close()
		return err
	}
	pool.keep(trial)
	h.cgroups = pool
	return nil
}

// tryChild runs a shell in a cgroup, if there is one, and a quota and looks how it
// ends.
func (h *Host) tryChild(g *cgroup, q *quota) error {
	const code = 7
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(null)
	attr := &syscall.ProcAttr{
		Dir: "/", Files: []uintptr{uintptr(null), uintptr(null), uintptr(null)},
		Sys: &syscall.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGKILL},
	}
	if g != nil {
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, g.fd
	}
	pid, pidfd, err := h.fork(h.limit.Tag(), q, "/bin/sh", []string{"sh", "-c", "exit 7"}, attr)
	if err != nil {
		return fmt.Errorf("nothing starts in a cgroup: %w", err)
	}
	if pidfd >= 0 {
		unix.Close(pidfd)
	}
	if exit := reap(pid); exit.Code != code {
		return fmt.Errorf("what starts in a cgroup ends with code %d %s: was a cgroup above it killed, or is there not enough memory?", exit.Code, exit.Signal)
	}
	return nil
}

// Sweep ends what programs that are gone have left behind because nobody was left
// to do it: they and their guards were killed at once.
func (h *Host) Sweep() {
	h.prepare()
	if h.self.Pid == 0 {
		return
	}
	defer sweepInstances()
	for _, gone := range h.leftBehind() {
		if procfs.EndInstance(gone.instance, gone.cgroups, 2, 200, pause) {
			h.log.Load().Warn("ended what a server that is gone had left behind", "server_pid", gone.instance.Pid)
		} else {
			h.log.Load().Warn("cannot end what a server that is gone has left behind", "server_pid", gone.instance.Pid)
		}
	}
}

type leftover struct {
	instance procfs.Instance
	cgroups  string
}

// leftBehind looks for marks of servers that do not live. A server is named by
// its number and its start, which mean nothing in another pid or time namespace:
// a process in one is left alone.
func (h *Host) leftBehind() (list []leftover) {
	seen := map[procfs.Instance]bool{}
	add := func(i procfs.Instance, cgroups string) {
		if lives, err := i.Lives(); err == nil && !lives && !seen[i] {
			seen[i] = true
			list = append(list, leftover{i, cgroups})
		}
	}
	if h.cgroups != nil {
		cgroupsOf(filepath.Dir(h.cgroups.dir), add)
	}
	_ = procfs.Pids(func(pid int) {
		tag, err := procfs.ReadTag(pid)
		if err != nil {
			return
		}
		// The tag holds a part of the start only, which is enough for tags. The
		// marker has it whole, and finds what has no tag any more.
		i, fits, ok := tag.Instance()
		if !ok || !sameNamespaces(pid) {
			return
		}
		if s, alive, err := procfs.Living(i.Pid); err != nil || alive && (s.State == '?' || fits(s.Start)) {
			return
		}
		if marked, _, ok := procfs.ParseMarker(procfs.ReadMarker(pid)); ok && tag.Of(marked) {
			i = marked
		}
		add(i, "")
	})
	return list
}

// cgroupsOf calls f for each instance of our namespaces that has a directory in one,
// or had one.
func cgroupsOf(parent string, f func(i procfs.Instance, dir string)) {
	before, after, _ := strings.Cut(cgroupName("*"), "*")
	pattern := parent + "/" + before + "*" + after
	dirs, _ := filepath.Glob(pattern)
	servers, _ := filepath.Glob(procfs.ServerCgroup(pattern))
	for _, server := range servers {
		if dir := strings.TrimSuffix(server, procfs.ServerCgroup("")); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, dir := range dirs {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(dir), before), after)
		if i, ok := procfs.ParseInstance(name); ok {
			f(i, dir)
		}
	}
}

// sameNamespaces says that a process counts pids and time as we do.
func sameNamespaces(pid int) bool {
	for _, name := range []string{"pid", "time"} {
		ours, err := os.Readlink("/proc/self/ns/" + name)
		if err != nil {
			continue // the kernel has none
		}
		theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, name))
		if err != nil || ours != theirs {
			return false
		}
	}
	return true
}
