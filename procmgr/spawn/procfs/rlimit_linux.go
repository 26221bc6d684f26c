package procfs

import (
	"syscall"
	"unsafe"
)

// Resource is one of the limits of a process, see getrlimit(2), that mean nothing to the
// programs that inherit them: by these processes are marked. Both numbers are the same on
// every architecture.
type Resource int

const (
	// Locks is RLIMIT_LOCKS, which the kernel has not looked at since Linux 2.4.25.
	Locks Resource = 10
	// RTTime is RLIMIT_RTTIME, in microseconds of CPU time, which limits real-time tasks
	// alone; 2^62 of them limit none.
	RTTime Resource = 15
)

// String returns the name of setrlimit(2).
func (r Resource) String() string {
	if r == Locks {
		return "RLIMIT_LOCKS"
	}
	return "RLIMIT_RTTIME"
}

// Rlimit is the soft and the hard limit of a process. Only a process with CAP_SYS_RESOURCE
// raises a hard limit, its own or another's.
type Rlimit struct{ Soft, Hard uint64 }

// Unlimited is the limit of everybody who has none.
const Unlimited = ^uint64(0)

// Get returns the limits of a process; 0 is the caller. It works for processes of the same
// user, and for root. Where that is refused it reads what everybody may read.
func (r Resource) Get(pid int) (limit Rlimit, err error) {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), uintptr(r), 0, uintptr(unsafe.Pointer(&limit)), 0, 0)
	switch errno {
	case 0:
		return limit, nil
	case syscall.EPERM:
		return r.read(pid)
	}
	return Rlimit{}, errno
}

// Set changes the caller's own limits, which all of its threads share and its children
// inherit, and returns those before.
func (r Resource) Set(limit Rlimit) (before Rlimit, err error) {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, 0, uintptr(r), uintptr(unsafe.Pointer(&limit)), uintptr(unsafe.Pointer(&before)), 0, 0)
	if errno != 0 {
		return Rlimit{}, errno
	}
	return before, nil
}

// read reads "Max file locks  SOFT  HARD  locks" (proc_pid_limits(5)).
func (r Resource) read(pid int) (limit Rlimit, err error) {
	var buf [4096]byte
	text, err := readOf(pid, "limits", buf[:])
	if err != nil {
		return Rlimit{}, err
	}
	name := "Max realtime timeout"
	if r == Locks {
		name = "Max file locks"
	}
	at := index(text, name)
	if at < 0 {
		return Rlimit{}, syscall.EIO
	}
	text = text[at+len(name):]
	for _, value := range []*uint64{&limit.Soft, &limit.Hard} {
		var word []byte
		if word, text = nextWord(text); len(word) == 0 {
			return Rlimit{}, syscall.EIO
		}
		if *value = atoi(word); string(word) == "unlimited" {
			*value = Unlimited
		}
	}
	return limit, nil
}

// nextWord returns what stands between blanks, and the text behind it.
func nextWord(text []byte) (word, rest []byte) {
	for len(text) > 0 && text[0] == ' ' {
		text = text[1:]
	}
	for i, c := range text {
		if c == ' ' || c == '\n' {
			return text[:i], text[i:]
		}
	}
	return text, nil
}
