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

// ReserveThreads makes the threads that the program will need, if few are allowed:
// the Go runtime aborts when it cannot have one that it wants, which is at any
// later moment when the processes that were started have used up what the user
// (RLIMIT_NPROC) or the cgroup (pids.max) may have. The error says that
// there is no room for 16 threads. It is called before anything is started.
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

// makeThreads has the runtime make threads until there are so many. It keeps them
// for later. Each locked goroutine has one to itself while all meet; it unlocks
// before it ends, for a thread that ends would take along what it has forked
// (PR_SET_PDEATHSIG).
func makeThreads(want int) {
	// How many of those that there are would serve cannot be known: one more until
	// it is enough.
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
// count against it, or "" for a limit that is far or does not hold this program.
func userTasks() (name string, most, used int) {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NPROC, &limit) != nil || limit.Cur >= lowBound || privileged() {
		return "", 0, 0
	}
	if most = int(limit.Cur); most < roomForThreads {
		// Others do not matter, and while they are counted the runtime may want one
		// thread too many.
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

// privileged says that RLIMIT_NPROC does not hold this program, see setrlimit(2).
// Only what counts outside of every user namespace does.
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
