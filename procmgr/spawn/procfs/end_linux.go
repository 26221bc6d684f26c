package procfs

import "syscall"

// EndInstance kills everything that an instance which is gone has left behind: in its
// cgroups (cgroups is their directory, or ""), and what is marked. It goes on, with a
// pause between, until that many rounds in a row found nothing alive, for at most so many
// rounds in all, and reports whether nothing is left. The directory is removed, and the
// instance's own cgroup is as it was before it.
//
// proc is /proc, kept open: a process that may open nothing more (RLIMIT_NOFILE) still
// finds and ends what carries a seal or a tag.
func EndInstance(proc Dir, i Instance, cgroups string, clean, most int, pause func()) bool {
	inARow := 0
	for round := 0; round < most && inARow < clean; round++ {
		if round > 0 {
			pause()
		}
		if cgroups != "" {
			write(cgroups+"/cgroup.kill", "1")
		}
		if found, err := killRound(proc, i); err == nil && !found {
			inARow++
		} else {
			inARow = 0
		}
	}
	if cgroups != "" {
		RemoveCgroup(cgroups)
		_ = RestoreCgroup(cgroups) // what is left is the next server's to sweep
	}
	return inARow == clean
}

// killRound kills what it finds of an instance and reports whether there was something
// alive.
func killRound(proc Dir, i Instance) (found bool, err error) {
	self := syscall.Getpid()
	err = proc.Pids(func(pid int) {
		if pid == self || !BelongsTo(pid, i) {
			return
		}
		s, alive, err := Living(pid)
		if err == nil && (!alive || s.Start < i.Start) || err != nil && !short(err) {
			return
		}
		found = true
		_ = Signal(pid, syscall.SIGKILL, func() bool { return BelongsTo(pid, i) }) // the next round looks again
	})
	return found, err
}

// BelongsTo reports whether the process carries the instance's seal, tag or marker.
// Another user's cannot: the kernel lets nobody set a limit or read an environment across
// users, but root.
func BelongsTo(pid int, i Instance) bool {
	if limit, err := Locks.Get(pid); err == nil && limit.Hard == i.Seal() {
		return true
	}
	if limit, err := RTTime.Get(pid); err == nil && Tag(limit.Soft).Of(i) {
		return true
	}
	own, _, ok := ParseMarker(ReadMarker(pid))
	return ok && own == i
}
