package proctest

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownWorld takes from this program, and so from what it starts, what the person or
// the script that started the tests has given it: ignored and blocked signals,
// descriptors, the umask, a home and all variables but a few. The tests have a home
// of their own, which leave removes, and a plain locale.
func ownWorld() (leave func(), err error) {
	if err := unblockSignals(); err != nil {
		return nil, err
	}
	catchIgnoredSignals()
	unix.Umask(0o022)
	closeOnExec()
	given := append(goCaches(), os.Environ()...)
	os.Clearenv()
	for _, variable := range given {
		if name, value, _ := strings.Cut(variable, "="); kept(name) {
			if err := os.Setenv(name, value); err != nil {
				return nil, err
			}
		}
	}
	home, err := os.MkdirTemp("", "proctor-test-home-")
	if err != nil {
		return nil, err
	}
	return func() { _ = os.RemoveAll(home) }, errors.Join(os.Setenv("HOME", home), os.Setenv("LC_ALL", "C.UTF-8"))
}

// kept reports whether tests see a variable. Nothing else may change what they do.
func kept(name string) bool {
	return slices.Contains([]string{"PATH", "TMPDIR", "USER", "LOGNAME", requireVariable}, name) ||
		strings.HasPrefix(name, "GO") || strings.HasPrefix(name, "CGO_")
}

// goCaches returns the variables by which the go command finds, without the home of
// the person who runs the tests, that person's settings and caches. What stands in
// the settings need not be in a variable.
func goCaches() (env []string) {
	settings := ""
	if dir, err := os.UserConfigDir(); err == nil {
		file := filepath.Join(dir, "go", "env")
		text, _ := os.ReadFile(file)
		settings = "\n" + string(text)
		env = append(env, "GOENV="+file)
	}
	if dir, err := os.UserCacheDir(); err == nil && !strings.Contains(settings, "\nGOCACHE=") {
		env = append(env, "GOCACHE="+filepath.Join(dir, "go-build"))
	}
	if dir, err := os.UserHomeDir(); err == nil && !strings.Contains(settings, "\nGOPATH=") {
		env = append(env, "GOPATH="+filepath.Join(dir, "go"))
	}
	return env
}

// unblockSignals starts this program anew if it was started with blocked signals:
// Go gives them to every child, and there is no other way to be rid of them.
func unblockSignals() error {
	blocked, err := signalMask("SigBlk")
	if err != nil || blocked == 0 {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, nil); err != nil {
		return err
	}
	if again, err := signalMask("SigBlk"); err != nil || again != 0 {
		return fmt.Errorf("signals %x stay blocked: %w", again, err)
	}
	return unix.Exec(self, os.Args, os.Environ())
}

// catchIgnoredSignals catches what was ignored when this program was started (nohup,
// & in a script). To the program nothing changes; what it starts has the default.
func catchIgnoredSignals() {
	ignored, err := signalMask("SigIgn")
	if err != nil {
		return // without /proc the tests of processes fail in other ways
	}
	caught := make(chan os.Signal, 1)
	for n := 1; n < 64; n++ {
		if ignored&(1<<(n-1)) != 0 {
			signal.Notify(caught, syscall.Signal(n))
		}
	}
}

// signalMask reads a set of signals of the calling thread.
func signalMask(name string) (mask uint64, err error) {
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return 0, err
	}
	_, after, ok := strings.Cut(string(status), name+":\t")
	if !ok {
		return 0, fmt.Errorf("no %s in /proc/thread-self/status", name)
	}
	text, _, _ := strings.Cut(after, "\n")
	return strconv.ParseUint(text, 16, 64)
}

// closeOnExec keeps inherited descriptors from what the tests start.
func closeOnExec() {
	const firstOwn = 3
	fds, _ := filepath.Glob("/proc/self/fd/*")
	for _, name := range fds {
		if fd, err := strconv.Atoi(filepath.Base(name)); err == nil && fd >= firstOwn {
			syscall.CloseOnExec(fd)
		}
	}
}
