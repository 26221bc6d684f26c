// Package spawn starts a command, delivers its output and its exit, and signals
// what it forked. It is the one place that talks to the operating system about
// processes; it knows nothing of chats or ids.
//
// # Rooms
//
//	loop     reads all outputs and sees all exits, in one goroutine
//	cgroup   control groups of Linux: those of the kill domain, and those that limit
//	inspect  what living processes do: the ports they listen on, the input they wait for
//	procfs   finds processes on Linux, and signals them without mistaking one for another
//	early    what must happen before a program is initialised: the guard
//
// This package has the rest: the life of a command, kill domains, and what the program
// does as a whole for them ([Host]).
//
// # Life of a command
//
// The legal steps; the single writer is life.advance:
//
//	running -> ended   the loop has seen the exit
//	ended   -> reaped  its status was taken: its number may belong to another process
//	reaped  -> closed  its kill domain is gone or was given up: nobody uses it
//
// A command has ended when its program has. Its kill domain is gone when nothing that the
// command forked is alive either.
//
// On Linux the loop sees the exit through a pidfd, so a running command costs neither a
// thread nor a goroutine. Where there is no pidfd (macOS, old or confined kernels) one
// thread per command waits. Either way the command is not reaped yet: until then the
// kernel does not give its number to another process. The loop now reads what the command
// wrote to the end, or, while a descendant holds the pipe, for [DrainTime]. Then the
// command gets a goroutine (Process.conclude), which reaps it, announces the exit, and
// waits until the kill domain is gone. So the announcement comes after every byte that was
// written before the exit.
//
// # Input
//
// A command reads /dev/null, a pipe, or a terminal of its own. The terminal is then its
// controlling one, and its output as well. While a write to an input that is kept waits,
// the poller of Go watches our end. Whether a process waits for input is looked up in
// /proc when somebody asks.
//
// # Kill domain
//
// A command leads a session and a process group of its own, and a signal goes to the whole
// group. Once the leader is reaped and the group has no members, the kernel may use the
// number again. So from the reaping on the group is signalled through the pidfd of the
// leader, or, where the kernel cannot do that, member by member.
//
// What has left the group is found on Linux, if the program has called [Setup]. Orphans
// among its descendants become children of its main thread, which forks nothing: if that
// thread has no children, nothing is left of commands that have ended. Else the rules of
// marks.owner find the command that each orphan belongs to: by its session, its marks
// (package procfs), or its cgroup.
//
// A signal goes to the group, then to each process that is found outside of it. A launcher
// that stays, such as bubblewrap, gets no signal but kill, stop and continue: the others
// go to the processes of the domain that do not have its name.
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
// A domain that outlives its command is watched through a pidfd of one orphan after the
// other, until it is gone ([Events].Gone).
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
// One loop for all commands. For a command: one while its first input is written, one from
// its exit until its domain is closed, and one or two while it is killed. All are started
// and awaited by the [Spawner] ([Spawner.Wait]). One more keeps the guard, and one makes
// spare cgroups; [Host.Run] awaits them. No goroutine ends with its thread locked: that
// would end the thread, and the kernel would then end what the thread has forked
// (PR_SET_PDEATHSIG).
//
// # Locks
//
// Locks are taken in the order of this table. Package lockorder checks it in builds with
// the race detector. Slow locks are held across looks through /proc, file writes and
// signals, brief ones for some instructions. The loop takes brief locks alone. It sees
// that a command has ended; the command's own goroutine then waits for life.pin and reaps
// it.
//
//	system.mu             slow   the loop, while it is started and stopped
//	life.pin              slow   held for reading while a command's number or kill domain is used
//	adoption.mu           slow   the owners of orphans; no orphan is reaped meanwhile
//	forker.mu             slow   the program's soft limits, which are others during a fork
//	guard.mu              slow   the guard; it is not reaped meanwhile
//	kill.mu               brief  the state of a kill
//	life.mu               brief  the stage of a command
//	account.mu            brief  what reaped processes have used
//	registry.mu           brief  the commands by number
//	descendants.watching  brief  the orphan whose end is awaited
//
// Packages cgroup and loop have locks of their own: cgroup.Limiter.mu is slow and comes
// after adoption.mu, before forker.mu; cgroup.Pool.mu and loop.Loop.mu are brief and come
// last.
package spawn
