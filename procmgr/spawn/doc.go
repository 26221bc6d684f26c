// Package spawn starts a command, delivers its output and its exit, and signals
// what it forked. It is the one place that talks to the operating system about
// processes; it knows nothing of chats or ids.
//
// # Exit
//
// On Linux the exit is seen through a pidfd, by the same loop that reads all
// outputs (loop_posix.go), so a running command costs neither a thread nor a
// goroutine. Where there is no pidfd (macOS, old or
// confined kernels) one thread per command waits. Either way the exit is first
// seen and not yet reaped: while a process is unreaped its number cannot be
// given to another. What the command wrote is then read to the end, or, when a
// descendant still holds the pipe, for [DrainTime]; then it is reaped; then the
// exit is announced. The announcement therefore comes after every byte that was
// written before the exit.
//
// # Input
//
// A command reads /dev/null, a pipe, or a terminal of its own, which is then its
// controlling one and all that it writes as well. Our end of an input that is kept is
// parked in the poller of Go while a write waits (input_posix.go). Whether somebody
// waits for it is asked of /proc at that moment: in which system call each thread of
// the foreground is blocked, and on what (waiting_linux.go).
//
// # Kill domain
//
// A command leads a session and a process group of its own, and a signal goes to
// the whole group. After the leader is reaped, its number may be used again as
// soon as the group is empty, so from then on the group is reached only through
// its pidfd, or, where the kernel cannot do that, member by member.
//
// What has left the group is found, on Linux, if the program has called [Setup].
// Orphans among its descendants come to its main thread, which forks nothing: an
// empty list of that thread's children proves that nothing of any command is
// left but the commands themselves. Otherwise each orphan is asked whose it is:
// by its tag, its session, its marker (package procfs), or its cgroup. A kill goes
// to the group; when the leader is dead and there are orphans outside of it, it
// goes on (kill_linux.go): cgroup.kill where each command has a cgroup, then
// rounds over what is found, until a round finds nothing alive.
//
// Behind a launcher that stays, such as bubblewrap, signals but kill, stop and
// continue go to the processes of the domain that do not have its name.
//
// A domain that outlives its command is watched until it is empty
// ([Events].Emptied), through a pidfd of one orphan after the other.
//
// # Limits
//
// [Host.SetLimits] puts each command into cgroups of its own, below those of its
// group, in the hierarchies that have the controllers memory and pids. Many outputs
// that flood take turns (flood_posix.go).
//
// # Death of the program
//
// A guard (guard_linux.go, package early) ends everything when the program is
// killed. [Host.Sweep] ends what a program and its guard, killed at once, have left.
//
// # Goroutines
//
// One loop for all commands; for a command one while it is given input, one while
// it outlives its leader, one while a kill goes on. All are started and awaited by
// the [Spawner] ([Spawner.Wait]). One more keeps the guard; [Host.Run] awaits it. None ends with
// its thread locked, which would end the thread and, with it, what it forked
// (PR_SET_PDEATHSIG).
package spawn
