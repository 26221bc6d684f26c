package early

import (
	"syscall"
	"unsafe"

	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

const (
	// cleanRounds is how many looks in a row must find nothing: one look can miss a
	// process that is being forked, and the next finds it.
	cleanRounds = 3
	roundPause  = 5 // milliseconds
	// giveUp bounds the guard's own life: it will never end what it could not end by then,
	// such as a process in state D.
	giveUp = 2000 // rounds
)

// guard waits for the end of the server that started it, and ends what that
// server left behind.
func guard(args []string) {
	server, ok := procfs.ParseInstance(args[1])
	if !ok {
		return
	}
	ignoreSignals()
	// Nobody may read or change its memory (PR_SET_DUMPABLE, which exec has reset).
	const setDumpable = 4
	syscall.RawSyscall6(syscall.SYS_PRCTL, setDumpable, 0, 0, 0, 0, 0)
	// It is no leftover of the server, for another that sweeps.
	_, _ = procfs.Locks.Set(procfs.Rlimit{})
	proc, err := procfs.OpenProc()
	if err != nil {
		return
	}
	// A rehearsal, which ends nothing: then the guard has the memory that it needs, and a
	// command that forbids it more (RLIMIT_DATA, RLIMIT_AS) is too late.
	if self, err := procfs.Self(); err == nil {
		procfs.EndInstance(proc, self, "", 1, 1, func() {})
	}
	awaitEnd(server)
	procfs.EndInstance(proc, server, args[2], cleanRounds, giveUp, func() { pause(roundPause) })
}

// awaitEnd waits for the end of the server through a pidfd. Where there are none it
// is the end of a pipe, which comes late if somebody else holds a copy of its writing
// end.
func awaitEnd(server procfs.Instance) {
	const pipe = 0
	fd := pollFd{fd: pipe, events: pollIn}
	if pidfd, err := procfs.OpenPidfd(server.Pid); err == nil {
		if lives, err := server.Lives(); err == nil && !lives {
			return // the pidfd is another's
		}
		fd.fd = int32(pidfd)
	} else if err == syscall.ESRCH {
		return
	}
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&fd)), 1, 0, 0, 0, 0)
		if errno != syscall.EINTR {
			return
		}
	}
}

const pollIn = 1 // POLLIN

type pollFd struct {
	fd              int32
	events, revents int16
}

func pause(milliseconds int64) {
	time := syscall.NsecToTimespec(milliseconds * 1e6)
	syscall.Syscall6(syscall.SYS_PPOLL, 0, 0, uintptr(unsafe.Pointer(&time)), 0, 0, 0)
}

// ignoreSignals lets the guard outlive what ends its server by name, a service
// manager's SIGTERM to everything for instance. Package os/signal is not there
// yet.
func ignoreSignals() {
	const ignore = 1 // SIG_IGN; the first word of struct sigaction on these architectures
	action := [8]uintptr{ignore}
	// By SIGURG the runtime takes a thread from a goroutine, for which it may need memory
	// that the guard cannot get: see its rehearsal.
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGPIPE, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGURG} {
		syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	}
}
