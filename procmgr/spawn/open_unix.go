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

// pipe returns our end of a new pipe, which does not block, and the other end. It
// fails with EMFILE when only the descriptors are left that are kept back.
func pipe() (ours, theirs int, err error) {
	var fds [2]int
	if err := pipeCloexec(&fds); err != nil {
		return -1, -1, os.NewSyscallError("pipe", err)
	}
	if keptBack(max(fds[0], fds[1])) {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return -1, -1, os.NewSyscallError("pipe", unix.EMFILE)
	}
	_ = unix.SetNonblock(fds[0], true)
	return fds[0], fds[1], nil
}

// keptBack reports whether a new descriptor is one of those that no start takes: 64, or
// a quarter of a limit below 256. With its last descriptors a program could still
// start, but no more look into /proc, kill a cgroup or open a pidfd. The kernel
// gives the lowest that is free, so the number tells how many are in use.
func keptBack(fd int) bool {
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

// launcherName returns the name by which the launcher's own processes are known:
// the kernel calls a process by the file that it runs, cut to 15 bytes (comm in
// proc_pid_comm(5)). A launcher of the same name as the command cannot be told
// from it.
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

// lookPath finds the program as execvp(3) does, in the PATH of env. The library
// function of that name reads the server's own environment instead. What was
// found last, most often the shell, is only looked at again: a PATH has many
// directories.
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
		// A program found by where one stands is a surprise.
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
