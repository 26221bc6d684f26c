// Package early holds what must happen before the rest of a program that runs
// processes is initialised. Such a program imports it in package main,
//
//	import "github.com/proctor-mcp/proctor/procmgr/spawn/early"
//
// and gives its GuardName to spawn.Setup, which without it adopts no orphans and has
// no guard.
//
// The two functions named init are the only ones of this tree. They do what the kernel
// and the runtime allow at no other moment:
//
//   - The main thread adopts orphans. If that thread never forks, the list of its
//     children shows at once that there are none. Only an init can lock the main
//     goroutine to the main thread.
//   - The guard is this same program, started again. It must run within milliseconds
//     and use less than a megabyte of its own, while the packages of a server take many
//     times that to initialise. Of the packages whose imports are initialised, Go takes
//     the first in the order of import paths, and this one imports little more than
//     syscall.
package early

// GuardName is the first argument of a program that is to become a guard. The
// others: the instance that it guards, as its String writes it, and the
// directory of its cgroups, or "".
const GuardName = "proctor-guard"
