//go:build !race

package lockorder

import "sync"

// Mutex is a sync.Mutex with a place in the order.
type Mutex[P Place] struct {
	sync.Mutex // guards what its user says
}

// RWMutex is a sync.RWMutex with a place in the order.
type RWMutex[P Place] struct {
	sync.RWMutex // guards what its user says
}

// Slow is called before slow work: a look through /proc, a file write or a signal.
func Slow() {}

// OnlyBrief forbids the calling goroutine slow locks and slow work, until the returned
// function is called.
func OnlyBrief() (end func()) { return func() {} }
