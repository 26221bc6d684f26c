// Package spawn starts a command, delivers its output and its exit, and signals
// what it forked. It is the one place that talks to the operating system about
// processes; it knows nothing of chats, ids or limits.
//
// # Exit
//
// On Linux the exit is seen through a pidfd that waits in Go's poller, so a
// running command costs no thread. Where there is no pidfd (macOS, old or
// confined kernels) one thread per command waits. Either way the exit is first
// seen and not yet reaped: while a process is unreaped its number cannot be
// given to another. What the command wrote is then read to the end, or, when a
// descendant still holds the pipe, for [DrainTime]; then it is reaped; then the
// exit is announced. The announcement therefore comes after every byte that was
// written before the exit.
//
// # Group
//
// A command leads a session and a process group of its own, and a signal goes to
// the whole group. After the leader is reaped, its number may be used again as
// soon as the group is empty, so from then on the group is reached only through
// its pidfd, or, where the kernel cannot do that, member by member.
//
// # Goroutines
//
// Two per command, and a third while it is given input: all are started and
// awaited by the [Spawner] ([Spawner.Wait]). None locks its thread.
package spawn
