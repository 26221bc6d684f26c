package spawn

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/proctor-mcp/proctor/procmgr/spawn/cgroup"
	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// Sweep ends what programs that are gone have left behind because nobody was left
// to do it: they and their guards were killed at once.
func (h *Host) Sweep() {
	h.choice.domain()
	if h.adoption.self.Pid == 0 {
		return
	}
	defer cgroup.SweepLimits()
	for _, left := range h.leftBehind() {
		if procfs.EndInstance(left.instance, left.cgroups, 2, 200, pause) {
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
	if h.choice.cgroups != nil {
		cgroup.Instances(filepath.Dir(h.choice.cgroups.Dir()), add)
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
