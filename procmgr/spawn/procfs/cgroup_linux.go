package procfs

import "syscall"

// RemoveCgroup removes a cgroup and those below it. They must be empty, else an error
// says why the first stays.
func RemoveCgroup(path string) error {
	err := syscall.Rmdir(path)
	if err == nil || err == syscall.ENOENT {
		return nil
	}
	eachBelow(path, func(below string) { _ = RemoveCgroup(below) })
	return syscall.Rmdir(path)
}

// eachBelow calls visit with the path of each cgroup directly below one.
func eachBelow(path string, visit func(path string)) {
	_ = entries(path, func(name []byte) {
		var st syscall.Stat_t
		below := path + "/" + string(name)
		if syscall.Lstat(below, &st) == nil && st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
			visit(below)
		}
	})
}

// ServerCgroup returns the cgroup to which a server moves itself before it enables
// controllers for the cgroups of its commands. commands is the directory of these. Both
// have the same parent, the cgroup in which the server was started.
func ServerCgroup(commands string) string { return commands + ".server" }

// RestoreCgroup undoes that move, once the cgroups of the commands use no controller
// any more: it disables the controllers in the parent, moves the calling process
// back there if it was moved, and removes the server's cgroup. It does nothing if
// there is none.
//
// If somebody else has a cgroup below the parent, the controllers stay enabled, for that
// may use them. After an error the server's cgroup is still there.
func RestoreCgroup(commands string) error {
	server := ServerCgroup(commands)
	parent := dirname(server)
	found, alone := false, true
	eachBelow(parent, func(path string) {
		found = found || path == server
		alone = alone && (path == server || path == commands)
	})
	if !found {
		return nil
	}
	if alone {
		// Neither was enabled before, for the parent held the server ("no internal
		// processes" in cgroups(7)).
		for _, controller := range []string{"memory", "pids"} {
			if err := write(parent+"/cgroup.subtree_control", "-"+controller); err == syscall.EBUSY {
				return err // the cgroups of the commands use it
			}
		}
		// The caller itself may be in there. Where controllers stay it cannot leave.
		_ = write(parent+"/cgroup.procs", "0") // 0 is the writer
	}
	return syscall.Rmdir(server)
}

func dirname(path string) string {
	end := len(path) - 1
	for end > 0 && path[end] != '/' {
		end--
	}
	return path[:max(end, 0)]
}
