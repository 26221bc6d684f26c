package procfs

import "syscall"

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

// Lives reports whether the instance runs. An error means that it cannot be known.
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

// How the limits are divided. A pid has at most 22 bits (proc_sys_kernel(5)).
const (
	pidBits    = 22
	startBits  = 62 - pidBits // 348 years of clock ticks
	numberBits = 61
	// sealed is in every seal, numbered in every soft RLIMIT_LOCKS that is a tag, and
	// tagged in every soft RLIMIT_RTTIME that is one.
	sealed   = 1 << 62
	numbered = 1 << numberBits
	tagged   = 1 << 62

	tagStartBits  = 16
	tagNumberBits = 24
)

// Seal is the hard RLIMIT_LOCKS of all that the instance starts, if it has lowered its
// own to that:
//
//	bit  62       1
//	bits 22 to 61 its start
//	bits 0 to 21  its pid
//
// It is above every soft limit that [Number.Locks] makes.
func (i Instance) Seal() uint64 {
	return sealed | i.Start&(1<<startBits-1)<<pidBits | uint64(i.Pid)&(1<<pidBits-1)
}

// ParseSeal returns whose seal a hard RLIMIT_LOCKS is.
func ParseSeal(hard uint64) (i Instance, ok bool) {
	i = Instance{int(hard & (1<<pidBits - 1)), hard &^ sealed >> pidBits}
	return i, hard>>62 == 1 && i.Pid > 0 && i.Start > 0
}

// Number tells the commands of an instance apart. It is a random one of 61 bits, so that
// nobody can guess that of another command.
type Number uint64

// MakeNumber makes a number of random bits. Zero, which no command has, stands for
// a process that is not tagged.
func MakeNumber(random uint64) Number { return Number(random & (numbered - 1)) }

// Locks is the soft RLIMIT_LOCKS of a command and what it forks.
func (n Number) Locks() uint64 { return numbered | uint64(n) }

// LocksNumber returns the number that a soft RLIMIT_LOCKS names.
func LocksNumber(soft uint64) (n Number, ok bool) {
	return MakeNumber(soft), soft>>numberBits == 1
}

// Short is the part of the number that is in a [Tag].
func (n Number) Short() uint64 { return uint64(n) & (1<<tagNumberBits - 1) }

// Tag is the soft RLIMIT_RTTIME of a command and what it forks:
//
//	bit  62       1
//	bits 40 to 61 pid of the instance
//	bits 24 to 39 lowest bits of its start
//	bits 0 to 23  lowest bits of the number of the command
type Tag uint64

// Tag returns the tag of a command of the instance.
func (i Instance) Tag(n Number) Tag {
	return Tag(tagged | uint64(i.Pid)&(1<<pidBits-1)<<40 | i.Start&(1<<tagStartBits-1)<<tagNumberBits | n.Short())
}

// Of reports whether the tag is one of the instance's.
func (t Tag) Of(i Instance) bool { return t>>tagNumberBits == i.Tag(0)>>tagNumberBits }

// Short is what the tag has of the number of the command.
func (t Tag) Short() uint64 { return Number(t).Short() }

// Instance returns whose tag it is, with no more of its start than a tag holds:
// fits says whether one agrees with that. ok is false for a limit that is no tag.
func (t Tag) Instance() (i Instance, fits func(start uint64) bool, ok bool) {
	i = Instance{int(t >> 40 & (1<<pidBits - 1)), uint64(t) >> tagNumberBits & (1<<tagStartBits - 1)}
	return i, func(start uint64) bool { return start&(1<<tagStartBits-1) == i.Start }, t>>62 == 1 && i.Pid > 0
}
