package proctest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Alive reports whether pid exists and is not a zombie.
func Alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " ")
	return !strings.HasPrefix(after, "Z") && !strings.HasPrefix(after, "X")
}

// AwaitEnd waits until processes have ended, whoever's children they are: a pidfd
// announces that.
func AwaitEnd(t testing.TB, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		if err := awaitEnd(pid, deadline(t)); err != nil {
			t.Fatalf("waited in vain for the end of process %d: %v", pid, err)
		}
	}
}

func awaitEnd(pid int, deadline time.Time) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return nil
	} else if err != nil {
		return err
	}
	defer unix.Close(fd)
	for {
		timeout := -1
		if !deadline.IsZero() {
			timeout = max(0, int(time.Until(deadline).Milliseconds())) // clock: the test binary's own
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, timeout)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n == 0:
			return os.ErrDeadlineExceeded
		default:
			return nil
		}
	}
}

// Sleeper returns a command that sleeps, and a token by which [Sleepers] finds
// it whatever becomes of its environment, session and parents.
func Sleeper() (command, token string) {
	token = fmt.Sprintf("10000.%018d", rand.Uint64N(1e18))
	return "sleep " + token, token
}

// Sleepers returns the living processes of a token.
func Sleepers(token string) (pids []int) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, line := range lines {
		text, _ := os.ReadFile(line)
		if pid, _ := strconv.Atoi(strings.Split(line, "/")[2]); string(text) == "sleep\x00"+token+"\x00" && Alive(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// AwaitSleepers waits until so many processes of a token run.
func AwaitSleepers(t testing.TB, token string, n int) {
	t.Helper()
	Await(t, fmt.Sprintf("%d sleepers", n), func() bool { return len(Sleepers(token)) == n })
}

// AwaitNoSleepers waits until no process of a token is alive.
func AwaitNoSleepers(t testing.TB, token string) {
	t.Helper()
	for {
		pids := Sleepers(token)
		if len(pids) == 0 {
			return
		}
		AwaitEnd(t, pids...)
	}
}

// OtherUser returns the id of a user, and of its group, who runs nothing: what one
// user runs is counted and ended by all who run as that user. It has no name and no
// home. The test is skipped where this user cannot become another.
func OtherUser(t testing.TB) (id int) {
	t.Helper()
	const first, many = 40_000, 20_000 // which a user namespace usually has
	for id == 0 || hasProcesses(id) {
		id = first + rand.IntN(many)
	}
	cmd := exec.Command("true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(id), Gid: uint32(id)}}
	if err := cmd.Run(); err != nil {
		t.Skip("SKIPPED: this user cannot become another:", err)
	}
	return id
}

func hasProcesses(uid int) bool {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	return slices.ContainsFunc(dirs, func(dir string) bool {
		info, err := os.Stat(dir)
		return err == nil && info.Sys().(*syscall.Stat_t).Uid == uint32(uid)
	})
}
