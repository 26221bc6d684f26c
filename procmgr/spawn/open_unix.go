//go:build unix

package spawn

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// pipe returns our end of a new pipe, which does not block, and the other end. It fails
// with EMFILE when only reserved descriptors are left.
func pipe() (ours, theirs int, err error) {
	var fds [2]int
	if err := pipeCloexec(&fds); err != nil {
		return -1, -1, os.NewSyscallError("pipe", err)
	}
	if isReserved(max(fds[0], fds[1])) {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return -1, -1, os.NewSyscallError("pipe", unix.EMFILE)
	}
	_ = unix.SetNonblock(fds[0], true)
	return fds[0], fds[1], nil
}

// isReserved reports whether a new descriptor is one of the last 64, or of the last
// quarter of a limit below 256, which no start may take. The program needs them to look
// into /proc, to kill a cgroup and to open pidfds. The kernel gives the lowest free
// number, so the number shows how many are in use.
func isReserved(fd int) bool {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return false
	}
	return uint64(fd) >= limit.Cur-min(64, limit.Cur/4)
}

// closeEnds closes two descriptors, which may be the same.
func closeEnds(a, b int) {
	unix.Close(a)
	if b != a {
		unix.Close(b)
	}
}

// launcherName returns the name that the kernel gives to the launcher's own processes:
// that of the file which they run, cut to 15 bytes (comm in proc_pid_comm(5)). It returns
// "" if the command has the same name.
func launcherName(cmd *Command) string {
	if len(cmd.Launcher) == 0 || filepath.Base(cmd.Launcher[0]) == filepath.Base(cmd.Argv[0]) {
		return ""
	}
	const longest = 15 // TASK_COMM_LEN less its end
	name := filepath.Base(cmd.Launcher[0])
	return name[:min(len(name), longest)]
}

// found is what a look for a program has found.
type found struct{ name, path, file string }

// lookPath finds a program as execvp(3) does, in the PATH of env. (exec.LookPath reads the
// program's own environment instead.) What was found last, most often the shell, is only
// checked again, since a PATH has many directories.
func lookPath(name string, env []string, lastFound *atomic.Pointer[found]) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	var path string
	for _, kv := range env {
		if value, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = value
		}
	}
	if path == "" {
		path = "/usr/local/bin:/usr/bin:/bin"
	}
	if last := lastFound.Load(); last != nil && last.name == name && last.path == path && executable(last.file) {
		return last.file, nil
	}
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, name)
		// What a relative directory holds would depend on where the server stands.
		if filepath.IsAbs(file) && executable(file) {
			lastFound.Store(&found{name, path, file})
			return file, nil
		}
	}
	return "", &fs.PathError{Op: "exec", Path: name, Err: fs.ErrNotExist}
}

func executable(file string) bool {
	var st unix.Stat_t
	return unix.Stat(file, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Mode&0o111 != 0
}
