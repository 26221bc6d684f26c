// Package spawn starts a command, delivers its output and its exit, and signals
// what it forked. It is the one place that talks to the operating system about
// processes; it knows nothing of chats or ids.
//
// # Rooms
//
//	loop     reads all outputs and sees all exits, in one goroutine
//	cgroup   control groups of Linux: the kill domain's, and those that limit
//	inspect  what living processes do: the ports they listen on, the input they wait for
//	procfs   finds processes on Linux, and signals them without mistaking one for another
//	early    what must happen before a program is initialised: the guard
//
// This package has the rest: the life of a command, kill domains, and what the whole
// program does for them ([Host]).
//
// # Life of a command
//
// The legal steps; the single writer is life.advance:
//
//	running -> ended   the loop has seen the exit
//	ended   -> reaped  its status was taken: its number may belong to another process
//	reaped  -> closed  its kill domain is gone or was given up: nobody uses it
//
// On Linux the exit is seen through a pidfd, so a running command costs neither a
// thread nor a goroutine. Where there is no pidfd (macOS, old or confined kernels) one
// thread per command waits. Either way the exit is first seen and not yet reaped: while
// a process is unreaped its number cannot be given to another. What the command wrote
// is then read to the end, or, when a descendant still holds the pipe, for [DrainTime].
// From here on the command has a goroutine of its own (Process.conclude), which reaps
// it, announces the exit, and waits until the kill domain is gone. The announcement
// therefore comes after every byte that was written before the exit.
//
// # Input
//
// A command reads /dev/null, a pipe, or a terminal of its own, which is then its
// controlling one and all that it writes to as well. Our end of an input that is kept
// is parked in the poller of Go while a write waits. Whether somebody waits for it is
// asked of /proc at that moment.
//
// # Kill domain
//
// A command leads a session and a process group of its own, and a signal goes to
// the whole group. After the leader is reaped, its number may be used again as
// soon as the group is empty, so from then on the group is reached only through
// the leader's pidfd, or, where the kernel cannot do that, member by member.
//
// What has left the group is found, on Linux, if the program has called [Setup].
// Orphans among its descendants come to its main thread, which forks nothing: an
// empty list of that thread's children proves that nothing of any command is
// left but the commands themselves. Otherwise each orphan is asked whose it is, by
// the rules of marks.owner: tag and marker (package procfs), session, cgroup.
//
// A signal goes to the group, then to each process that is found outside of it. Behind
// a launcher that stays, such as bubblewrap, signals but kill, stop and continue go to
// the processes of the domain that do not have its name.
//
// The legal steps of a kill; the single writer is kill.step:
//
//	unasked -> waiting  the group was killed; what is outside follows once the leader is dead
//	waiting -> hunting  the leader is dead and left orphans outside the group, or does not die
//	hunting -> waiting  a round found nothing alive, or it was hunted for long enough
//
// A hunt writes to cgroup.kill where each command has a cgroup, then kills what it
// finds, round by round.
//
// A domain that outlives its command is watched until it is gone
// ([Events].Gone), through a pidfd of one orphan after the other.
//
// # Limits
//
// [Host.SetLimits] puts each command into cgroups of its own, below those of its
// scope, in the hierarchies that have the controllers memory and pids.
//
// # Death of the program
//
// A guard (package early) ends everything when the program is killed. [Host.Sweep] ends
// what a program and its guard, killed at once, have left.
//
// # Goroutines
//
// One loop for all commands; for a command one while it is given input, one from its
// exit until its domain is closed, and while a kill goes on one or two. All are started
// and awaited by the [Spawner] ([Spawner.Wait]). One more keeps the guard, and one
// makes spare cgroups; [Host.Run] awaits them. None ends with its thread locked, which
// would end the thread and, with it, what it forked (PR_SET_PDEATHSIG).
//
// # Locks
//
// Locks have a place in an order, which package lockorder checks in builds with the
// race detector. Slow ones are held across looks through /proc, file writes and
// signals; the loop takes none of them. In this order:
//
//	life.pin       slow   for reading by whoever uses a command's number or kill domain,
//	                      for writing by the steps to reaped and closed
//	adoption.mu    slow   whose an orphan is; keeps orphans from being reaped
//	Limiter.mu     slow   cgroups that limit, of package cgroup
//	forker.mu      slow   the program's RLIMIT_RTTIME: held across each fork
//	guard.mu       slow   keeps the guard from being reaped while it is signalled
//
// Brief ones are held for some instructions; no other lock is taken meanwhile, but for
// kill.mu, life.mu, account.mu, registry.mu, descendants.watching, Pool.mu and Loop.mu
// in that order. The goroutine that sees an exit takes life.mu and kill.mu.
// When somebody else holds life.pin, it is the command's own goroutine that waits to
// reap it.
package spawn
