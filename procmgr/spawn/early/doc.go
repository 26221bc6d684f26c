// Package early holds what must happen before the rest of a program that runs
// processes is initialised. Such a program imports it in package main,
//
//	import "github.com/proctor-mcp/proctor/procmgr/spawn/early"
//
// and gives its GuardName to spawn.Setup, which without it adopts no orphans and has
// no guard.
//
// The two functions named init are the only ones of this tree. Both stand here
// for what the kernel and the runtime offer no other moment for:
//
//   - Orphans are adopted by the main thread, and "what the main thread is parent
//     of" is the cheap proof that there are none, if that thread never forks. Only
//     an init can lock the main goroutine to it.
//   - The guard is this same program, started again. It must be up within
//     milliseconds and stay below a megabyte of its own, while the packages of a
//     server take many times that to initialise. Go initialises packages that are
//     ready in the order of their import paths, and this one is ready as soon as
//     syscall is.
package early

// GuardName is the first argument of a program that is to become a guard. The
// others: the instance that it guards, as its String writes it, and the
// directory of its cgroups, or "".
const GuardName = "proctor-guard"
