// Package procfs finds processes on Linux and signals them without mistaking one
// for another. It reads /proc and makes system calls. It imports nothing that must be
// initialised first, because the guard (package early) runs before the other packages of
// its program are initialised.
//
// # Marks
//
// A child inherits its parent's resource limits through fork, exec, setsid, and whatever
// it does to its environment. Two of them concern nobody: RLIMIT_LOCKS, which the kernel
// does not look at, and RLIMIT_RTTIME, which limits real-time tasks alone. Anybody of the
// same user may read them with prlimit(2) for less than a microsecond, while reading an
// environment takes seven. So there are four marks:
//
//   - the seal, a hard RLIMIT_LOCKS, names the server ([Instance.Seal]). A process that is
//     not privileged can lower it, but never raise it.
//   - the number, a soft RLIMIT_LOCKS, names the command ([Number.Locks]).
//   - the tag, a soft RLIMIT_RTTIME, names the server and a part of the number ([Tag]).
//   - the environment variable [Marker] names server and number.
//
// A process can change its own soft limits and its environment.
//
// # Reuse
//
// Once a process is reaped the kernel can give its number to another. [Signal] therefore
// opens a pidfd first, then asks the caller whether the process is the one that was meant,
// and sends the signal through the pidfd. If the number changed hands in between, the
// signal reaches nobody.
package procfs
