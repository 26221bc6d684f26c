package spawn

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/proctor-mcp/proctor/procmgr/spawn/cgroup"
	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// Sweep ends what programs that are gone have left behind because nobody was left
// to do it: they and their guards were killed at once.
func (h *Host) Sweep() {
	h.KillDomain()
	proc, err := procfs.OpenProc()
	if h.adoption.self.Pid == 0 || err != nil {
		return
	}
	defer proc.Close()
	defer cgroup.SweepLimits()
	for _, left := range h.leftBehind(proc) {
		if procfs.EndInstance(proc, left.instance, left.cgroups, 2, 200, pause) {
			h.log.Load().Warn("ended what a server that is gone had left behind", "server_pid", left.instance.Pid)
		} else {
			h.log.Load().Warn("cannot end what a server that is gone has left behind", "server_pid", left.instance.Pid)
		}
	}
}

type leftover struct {
	instance procfs.Instance
	cgroups  string
}

// leftBehind looks for marks of servers that do not live.
func (h *Host) leftBehind(proc procfs.Dir) (list []leftover) {
	known := map[procfs.Instance]bool{}
	add := func(i procfs.Instance, cgroups string, ours func() bool) {
		if known[i] {
			return
		}
		alive, err := i.Lives()
		if err != nil || !alive && !ours() {
			return
		}
		known[i] = true
		if !alive {
			list = append(list, leftover{i, cgroups})
		}
	}
	if h.choice.cgroups != nil {
		cgroup.Instances(filepath.Dir(h.choice.cgroups.Dir()), func(i procfs.Instance, dir string) {
			add(i, dir, func() bool { return true })
		})
	}
	_ = proc.Pids(func(pid int) {
		limit, err := procfs.Locks.Get(pid)
		if err != nil {
			return
		}
		if i, ok := procfs.ParseSeal(limit.Hard); ok {
			add(i, "", func() bool { return sealedHere(pid, i) })
		} else if i, ok := taggedBy(pid); ok {
			add(i, "", func() bool { return sameNamespaces(pid) })
		}
	})
	return list
}

// taggedBy returns the server whose tag a process has, if that server does not live.
func taggedBy(pid int) (i procfs.Instance, ok bool) {
	limit, err := procfs.RTTime.Get(pid)
	if err != nil {
		return i, false
	}
	// The tag holds a part of the start only, which is enough for tags. The marker has
	// it whole, and finds what has no tag any more.
	tag := procfs.Tag(limit.Soft)
	i, fits, ok := tag.Instance()
	if !ok {
		return i, false
	}
	if s, alive, err := procfs.Living(i.Pid); err != nil || alive && (s.State == '?' || fits(s.Start)) {
		return i, false
	}
	if marked, _, ok := procfs.ParseMarker(procfs.ReadMarker(pid)); ok && tag.Of(marked) {
		i = marked
	}
	return i, true
}

// sealedHere reports whether the seal of a process is that of a server that counts pids
// and time as we do. A server is named by its number and its start, which mean something
// else in other namespaces. A process that has entered one with its seal descends from
// one that was outside: the first in there is sealed by the same server, and is not that
// server itself.
func sealedHere(pid int, by procfs.Instance) bool {
	for !sameNamespaces(pid) {
		s, err := procfs.ReadStat(pid)
		if err != nil || s.Ppid == 0 {
			return false
		}
		if !sameNamespaces(s.Ppid) {
			pid = s.Ppid
			continue
		}
		limit, err := procfs.Locks.Get(pid)
		inner, nsErr := procfs.InnerPid(pid)
		return err == nil && nsErr == nil && limit.Hard == by.Seal() && inner != by.Pid
	}
	return true
}

// sameNamespaces reports whether a process counts pids and time as we do.
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

// disarmedServers returns the pids of living servers whose limits somebody has lowered: by
// their guards, for a server without one has started nothing yet.
func disarmedServers(guard string) (pids []int) {
	_ = procfs.Pids(func(pid int) {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		argv := strings.Split(string(line), "\x00")
		if len(argv) < 2 || argv[0] != guard {
			return
		}
		server, ok := procfs.ParseInstance(argv[1])
		if lives, err := server.Lives(); !ok || err != nil || !lives {
			return
		}
		locks, locksErr := procfs.Locks.Get(server.Pid)
		rttime, rttimeErr := procfs.RTTime.Get(server.Pid)
		highest := procfs.MakeNumber(procfs.Unlimited)
		if locksErr == nil && locks.Hard < highest.Locks() || rttimeErr == nil && rttime.Hard < uint64(server.Tag(highest)) {
			pids = append(pids, server.Pid)
		}
	})
	return pids
}
