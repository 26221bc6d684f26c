// Package lockorder provides locks that have a place in an order, and checks the order
// in builds with the race detector. In other builds they are the locks of package sync,
// and the checks are empty.
//
// A place is a type, so that a lock costs no memory for it and its zero value is ready:
//
//	type registry struct {
//		mu lockorder.Mutex[registryPlace] // guards the map
//	}
//
// A goroutine may take a lock only if its place comes after the places of all locks
// that the goroutine holds. Two locks of one place are never held together.
//
// A lock is either slow or brief. A slow lock may be held across a look through /proc,
// a file write or a signal; such work calls [Slow] first. A brief lock may not, so
// whoever takes one never waits for such work. A goroutine that others depend on calls
// [OnlyBrief]: from then on it may take no slow lock, and do no slow work.
package lockorder

// Place is where a lock stands in the order.
type Place interface {
	// Place returns the position in the order, smaller ones first, and whether the
	// lock is slow.
	Place() (position int, slow bool)
}
