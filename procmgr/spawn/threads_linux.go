package spawn

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/spawn/cgroup"
	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

const (
	// roomForThreads is how many threads a program that starts processes must be
	// allowed. It makes at least leastThreads of them, for the runtime may come to
	// two more on the way, and mostThreads where there is room: what the busiest
	// program was seen to use is 17.
	roomForThreads = 16
	leastThreads   = 14
	mostThreads    = 20
	// lowBound is where bounds of processes begin to matter: those of some thousand
	// are not reached before other things run short, and counting takes time.
	lowBound = 4096
)

// ReserveThreads makes the threads that the program will need, if few are allowed. The
// Go runtime aborts when it cannot make a thread, and later the processes that were
// started may have used up what the user (RLIMIT_NPROC) or the cgroup (pids.max) is
// allowed. It returns an error if there is no room for 16 threads. It is called before
// anything is started.
func (h *Host) ReserveThreads() error {
	room := math.MaxInt
	for _, bound := range []func() (name string, most, used int){userTasks, cgroupTasks} {
		name, most, used := bound()
		if name == "" {
			continue
		}
		others := used - threads()
		if most-others < roomForThreads {
			return fmt.Errorf("%s allows %d processes and threads, and at most %d of them are left for this program; it needs %d, and more for what it runs: raise the limit, or end something",
				name, most, max(0, most-others), roomForThreads)
		}
		room = min(room, most-others)
	}
	if room < math.MaxInt {
		makeThreads(min(max(room*2/3, leastThreads), mostThreads))
	}
	return nil
}

// makeThreads has the runtime make threads until there are as many as wanted; the runtime
// keeps them for later. Each locked goroutine has a thread to itself while it waits for
// the others. It unlocks before it ends: a thread that ends would end what it has forked
// (PR_SET_PDEATHSIG).
func makeThreads(want int) {
	// How many of the present threads a locked goroutine could take is not known. So
	// each turn takes one more, until there are enough.
	for n := want - threads(); threads() < want && n <= want; n++ {
		var met, ended sync.WaitGroup
		met.Add(n)
		for range n {
			ended.Go(func() {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				met.Done()
				met.Wait()
			})
		}
		ended.Wait()
	}
}

// threads counts the program's own.
func threads() int {
	_, own, _ := procfs.ReadTasks(os.Getpid())
	return own
}

// userTasks returns what RLIMIT_NPROC allows and how many processes and threads
// count against it, or "" for a limit that is high or does not bind this program.
func userTasks() (name string, most, used int) {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NPROC, &limit) != nil || limit.Cur >= lowBound || privileged() {
		return "", 0, 0
	}
	if most = int(limit.Cur); most < roomForThreads {
		// It is too low whatever others use, and counting them may make the runtime
		// want one thread too many.
		return "RLIMIT_NPROC", most, threads()
	}
	self := os.Getuid()
	_ = procfs.Pids(func(pid int) {
		if uid, count, err := procfs.ReadTasks(pid); err == nil && uid == self {
			used += count
		}
	})
	return "RLIMIT_NPROC", most, used
}

// privileged reports whether RLIMIT_NPROC does not bind this program, see setrlimit(2).
// Privileges inside a user namespace do not count.
func privileged() bool {
	mapped, _ := os.ReadFile("/proc/self/uid_map")
	if strings.Join(strings.Fields(string(mapped)), " ") != "0 0 "+strconv.Itoa(math.MaxUint32) {
		return false
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return false
	}
	const enough = 1<<unix.CAP_SYS_RESOURCE | 1<<unix.CAP_SYS_ADMIN
	return os.Getuid() == 0 || data[0].Effective&enough != 0
}

// cgroupTasks returns the tightest pids.max above the program and how many
// processes and threads count against it, or "" if none is low.
func cgroupTasks() (name string, most, used int) {
	own, err := cgroup.Own("pids")
	if err != nil {
		own, err = cgroup.Own("")
	}
	if err != nil {
		return "", 0, 0
	}
	for dir := own; len(dir) > 1; dir = filepath.Dir(dir) {
		limit, known := numberIn(dir + "/pids.max")
		now, _ := numberIn(dir + "/pids.current")
		if known && limit < lowBound && (name == "" || limit-now < most-used) {
			name, most, used = dir+"/pids.max", limit, now
		}
	}
	return name, most, used
}

// numberIn reads a file of a cgroup; "max" is none.
func numberIn(file string) (n int, ok bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	n, err = strconv.Atoi(strings.TrimSpace(string(text)))
	return n, err == nil
}
