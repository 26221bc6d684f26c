package procfs

import "syscall"

// EndInstance kills everything that an instance which is gone has left behind:
// in its cgroups (cgroups is their directory, or ""), and by tag and marker. It
// goes on, with a pause between, until that many rounds in a row found nothing
// alive, for at most so many rounds in all, and says whether nothing is left. The
// directory is removed, and the instance's own cgroup is as it was before it.
func EndInstance(i Instance, cgroups string, clean, most int, pause func()) bool {
	inARow := 0
	for round := 0; round < most && inARow < clean; round++ {
		if round > 0 {
			pause()
		}
		if cgroups != "" {
			write(cgroups+"/cgroup.kill", "1")
		}
		if found, err := killRound(i); err == nil && !found {
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

// killRound kills what it finds of an instance and says whether there was
// something alive.
func killRound(i Instance) (found bool, err error) {
	self := syscall.Getpid()
	err = Pids(func(pid int) {
		if pid == self {
			return
		}
		if !BelongsTo(pid, i) {
			return
		}
		s, alive, err := Living(pid)
		if err != nil || !alive || s.Start < i.Start {
			return
		}
		found = true
		_ = Signal(pid, syscall.SIGKILL, func() bool { return BelongsTo(pid, i) }) // the next round looks again
	})
	return found, err
}

// BelongsTo says that the process carries the instance's tag or marker. Another
// user's cannot: the kernel lets nobody set the one or read the other across
// users, but root.
func BelongsTo(pid int, i Instance) bool {
	if tag, err := ReadTag(pid); err == nil && tag.Of(i) {
		return true
	}
	own, _, ok := ParseMarker(ReadMarker(pid))
	return ok && own == i
}

// ParseMarker reads the value of a marker.
func ParseMarker(value string) (i Instance, number uint64, ok bool) {
	for n := range len(value) {
		if value[n] == '.' {
			i, ok = ParseInstance(value[:n])
			number = atoi([]byte(value[n+1:]))
			return i, number, ok && i.MarkerOf(number) == Marker+"="+value
		}
	}
	return Instance{}, 0, false
}
