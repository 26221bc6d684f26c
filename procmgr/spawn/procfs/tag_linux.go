package procfs

import (
	"syscall"
	"unsafe"
)

// Instance is one run of a program that starts processes: no two that live at a
// time are the same.
type Instance struct {
	Pid   int
	Start uint64 // in clock ticks since boot
}

// Self returns the calling program's.
func Self() (Instance, error) {
	s, err := ReadStat(syscall.Getpid())
	return Instance{s.Pid, s.Start}, err
}

// Lives says that the instance runs. An error means that it cannot be known.
func (i Instance) Lives() (bool, error) {
	s, alive, err := Living(i.Pid)
	if err == nil && alive && s.Start == hidden {
		err = syscall.EACCES
	}
	return alive && s.Start == i.Start, err
}

// String writes it for markers and names: "PID-START".
func (i Instance) String() string { return itoa(i.Pid) + "-" + itoa(int(i.Start)) }

// ParseInstance reads what String wrote.
func ParseInstance(text string) (i Instance, ok bool) {
	for n, c := range []byte(text) {
		if c == '-' {
			i = Instance{int(atoi([]byte(text[:n]))), atoi([]byte(text[n+1:]))}
			return i, i.Pid > 0 && i.Start > 0 && i.String() == text
		}
	}
	return i, false
}

// Tag is the soft RLIMIT_RTTIME of what an instance started:
//
//	bit  62       1
//	bits 40 to 61 pid of the instance (at most 2^22, proc_sys_kernel(5))
//	bits 24 to 39 lowest bits of its start
//	bits 0 to 23  number of the process
type Tag uint64

const (
	tagMark    = 1 << 62
	tagNumbers = 1<<24 - 1
	// Untagged is the limit of everybody else.
	Untagged = Tag(infinity)
	infinity = ^uint64(0)
)

// Tag returns the tag of a process of the instance. The number is taken modulo
// 2^24.
func (i Instance) Tag(number uint64) Tag {
	return Tag(tagMark | uint64(i.Pid)&(1<<22-1)<<40 | i.Start&(1<<16-1)<<24 | number&tagNumbers)
}

// Of says that the tag is one of the instance's.
func (t Tag) Of(i Instance) bool { return t&^tagNumbers == i.Tag(0) }

// Number returns the number of the process.
func (t Tag) Number() uint64 { return uint64(t & tagNumbers) }

// Instance returns whose tag it is, with no more of its start than a tag holds:
// fits says whether one agrees with that. ok is false for a limit that is no tag.
func (t Tag) Instance() (i Instance, fits func(start uint64) bool, ok bool) {
	i = Instance{int(t >> 40 & (1<<22 - 1)), uint64(t>>24) & (1<<16 - 1)}
	return i, func(start uint64) bool { return start&(1<<16-1) == i.Start }, t>>62 == 1 && i.Pid > 0
}

const rlimitRTTime = 15 // RLIMIT_RTTIME, on every architecture

// ReadTag returns the soft limit of a process. It works for processes of the same
// user, and for root. Where that is refused it reads what everybody may read.
func ReadTag(pid int) (Tag, error) {
	var old Rlimit
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), rlimitRTTime, 0, uintptr(unsafe.Pointer(&old)), 0, 0)
	switch errno {
	case 0:
		return Tag(old.soft), nil
	case syscall.EPERM:
		return readLimits(pid)
	}
	return 0, errno
}

// readLimits reads "Max realtime timeout  SOFT  HARD  us" (proc_pid_limits(5)).
func readLimits(pid int) (Tag, error) {
	var buf [4096]byte
	text, err := read("/proc/"+itoa(pid)+"/limits", buf[:])
	if err != nil {
		return 0, err
	}
	const name = "Max realtime timeout"
	at := index(text, name)
	if at < 0 {
		return 0, syscall.EIO
	}
	text = text[at+len(name):]
	for len(text) > 0 && text[0] == ' ' {
		text = text[1:]
	}
	for i, c := range text {
		if c < '0' || c > '9' {
			if i == 0 {
				return Untagged, nil // "unlimited"
			}
			return Tag(atoi(text[:i])), nil
		}
	}
	return 0, syscall.EIO
}

// Rlimit is the caller's own RLIMIT_RTTIME.
type Rlimit struct{ soft, hard uint64 }

// OwnRlimit returns it.
func OwnRlimit() (l Rlimit, err error) {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, 0, rlimitRTTime, 0, uintptr(unsafe.Pointer(&l)), 0, 0)
	if errno != 0 {
		err = errno
	}
	return l, err
}

// Tag is its soft part.
func (l Rlimit) Tag() Tag { return Tag(l.soft) }

// Set changes the caller's own soft limit, which all of its threads share and its
// children inherit. The hard limit stays.
func (l Rlimit) Set(t Tag) error {
	limit := Rlimit{uint64(t), l.hard}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, 0, rlimitRTTime, uintptr(unsafe.Pointer(&limit)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// Try sets a tag, looks whether the limit holds all of it, and puts it back.
func (l Rlimit) Try(t Tag) error {
	if err := l.Set(t); err != nil {
		return err
	}
	got, err := OwnRlimit()
	if putBack := l.Set(l.Tag()); err == nil {
		err = putBack
	}
	if err == nil && got.Tag() != t {
		err = syscall.ERANGE
	}
	return err
}

// Marker is the environment variable that names instance and number, as
// "PID-START.NUMBER".
const Marker = "PROCTOR_DOMAIN"

// IsMarker says that an environment entry is a marker.
func IsMarker(entry string) bool {
	return len(entry) > len(Marker) && entry[:len(Marker)+1] == Marker+"="
}

// MarkerOf returns the variable for a process of the instance.
func (i Instance) MarkerOf(number uint64) string {
	return Marker + "=" + i.String() + "." + itoa(int(number))
}

// ReadMarker returns the value of the marker in the environment that a process
// was started with, "" if there is none or it may not be read.
func ReadMarker(pid int) string {
	fd, err := open("/proc/" + itoa(pid) + "/environ")
	if err != nil {
		return ""
	}
	defer syscall.Close(fd)
	const want = Marker + "="
	var buf [4096]byte
	var value []byte
	matched, found := 0, false // how much of want the current variable begins with; -1: it is another
	for {
		n, err := readFd(fd, buf[:])
		if n <= 0 || err != nil {
			return string(value)
		}
		for _, c := range buf[:n] {
			switch {
			case c == 0 && found:
				return string(value)
			case c == 0:
				matched = 0
			case found && len(value) < 64:
				value = append(value, c)
			case found || matched < 0:
			case c != want[matched]:
				matched = -1
			default:
				matched++
				found = matched == len(want)
			}
		}
	}
}
