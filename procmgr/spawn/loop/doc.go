// Package loop reads what all commands write, and sees their exits, in one goroutine.
//
// A goroutine for each command would take more memory than all else that is kept of it.
// But whatever holds up the one goroutine holds up every command: it therefore takes no
// lock that anybody holds while looking through /proc, writing a file or signalling,
// and does none of that itself (lockorder.OnlyBrief checks it in builds with the race
// detector).
//
// Locks: Loop.mu, which is brief. The functions that [Pipe] and [Handler] call are the
// caller's, and bound by the same rule.
package loop
