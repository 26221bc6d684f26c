// Package procfs finds processes on Linux and signals them without mistaking one
// for another. It reads /proc and makes system calls, and imports nothing that
// has to be initialised first: the guard (package early) runs before the rest of
// its program exists.
//
// # Tag
//
// A child inherits its parent's resource limits through fork, exec, setsid, and
// whatever it does to its environment. One of them concerns nobody: the soft
// RLIMIT_RTTIME limits real-time tasks alone, and a value of 2^62 microseconds
// limits none. Its other 62 bits are a [Tag]: which server started a process, and
// which of its processes that is. Anybody of the same user may read it with
// prlimit(2) for less than a microsecond, while reading an environment takes
// seven. A process can change its own limit; the environment variable that
// [Marker] names is the second look.
//
// # Reuse
//
// A number is given to another process once its owner is reaped. [Signal]
// therefore pins a process by a pidfd first, then lets the caller look whether it
// is the one that was meant, and sends the signal through the pidfd: if the
// number had changed hands in between, the signal reaches nobody.
package procfs
