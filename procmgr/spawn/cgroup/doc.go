// Package cgroup puts commands into control groups of Linux (cgroups(7)): into one of
// the kill domain, which a single write kills with everything in it, and into those
// that limit memory and numbers of processes. On other systems it has the terms alone.
//
//	Pool      cgroups of version 2 below the program's own, kept for use again
//	Limiter   a cgroup for each scope, and below it one for each command, in every
//	          hierarchy that has a controller for a limit
//	Place     where the limiter puts one command
//
// A nil *Pool has no cgroups, a nil *Cgroup holds nothing, and a nil *Limiter and
// *Place limit nothing.
//
// Locks: Limiter.mu is slow and is held while cgroups are made and removed. Pool.mu is
// brief. Neither is held while the other is taken.
package cgroup
