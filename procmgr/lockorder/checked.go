//go:build race

package lockorder

import (
	"bytes"
	"fmt"
	"reflect"
	"runtime"
	"strconv"
	"sync"
)

// Mutex is a sync.Mutex with a place in the order.
type Mutex[P Place] struct {
	mu sync.Mutex // guards what its user says
}

// Lock locks it, and panics if that is out of order.
func (m *Mutex[P]) Lock() {
	take[P]()
	m.mu.Lock()
}

// Unlock unlocks it. The goroutine that locked it must call it.
func (m *Mutex[P]) Unlock() {
	m.mu.Unlock()
	release[P]()
}

// RWMutex is a sync.RWMutex with a place in the order.
type RWMutex[P Place] struct {
	mu sync.RWMutex // guards what its user says
}

// Lock locks it for writing, and panics if that is out of order.
func (m *RWMutex[P]) Lock() {
	take[P]()
	m.mu.Lock()
}

// Unlock unlocks it. The goroutine that locked it must call it.
func (m *RWMutex[P]) Unlock() {
	m.mu.Unlock()
	release[P]()
}

// RLock locks it for reading, and panics if that is out of order.
func (m *RWMutex[P]) RLock() {
	take[P]()
	m.mu.RLock()
}

// RUnlock undoes one RLock. The goroutine that called that must call it.
func (m *RWMutex[P]) RUnlock() {
	m.mu.RUnlock()
	release[P]()
}

// Slow is called before slow work: a look through /proc, a file write or a signal. It
// panics if the goroutine holds a brief lock, or may do no slow work.
func Slow() {
	g, ok := goroutines.Load(id())
	if !ok {
		return
	}
	held := g.(*goroutine)
	if held.onlyBrief {
		panic("lockorder: slow work in a goroutine that others wait for")
	}
	for _, l := range held.locks {
		if !l.slow {
			panic(fmt.Sprintf("lockorder: slow work while %v is held", l))
		}
	}
}

// OnlyBrief forbids the calling goroutine slow locks and slow work, until the returned
// function is called.
func OnlyBrief() (end func()) {
	g := current()
	g.onlyBrief = true
	return func() {
		g.onlyBrief = false
		g.forgetIfIdle()
	}
}

// goroutine is what one goroutine holds. No other one reads it.
type goroutine struct {
	id        int
	locks     []lock // in the order in which they were taken
	onlyBrief bool
}

type lock struct {
	place    reflect.Type
	position int
	slow     bool
}

func (l lock) String() string { return l.place.String() }

// goroutines holds a *goroutine by id, of those that hold a lock or may do no slow work.
var goroutines sync.Map

func current() *goroutine {
	n := id()
	g, _ := goroutines.LoadOrStore(n, &goroutine{id: n})
	return g.(*goroutine)
}

func (g *goroutine) forgetIfIdle() {
	if len(g.locks) == 0 && !g.onlyBrief {
		goroutines.Delete(g.id)
	}
}

func describe[P Place]() lock {
	var place P
	position, slow := place.Place()
	return lock{reflect.TypeFor[P](), position, slow}
}

// take checks that the goroutine may take a lock, and notes it.
func take[P Place]() {
	l, g := describe[P](), current()
	if l.slow && g.onlyBrief {
		panic(fmt.Sprintf("lockorder: %v is taken by a goroutine that others wait for", l))
	}
	for _, held := range g.locks {
		if held.position >= l.position {
			panic(fmt.Sprintf("lockorder: %v is taken while %v is held", l, held))
		}
	}
	g.locks = append(g.locks, l)
}

func release[P Place]() {
	l, g := describe[P](), current()
	for i := len(g.locks) - 1; i >= 0; i-- {
		if g.locks[i] == l {
			g.locks = append(g.locks[:i], g.locks[i+1:]...)
			g.forgetIfIdle()
			return
		}
	}
	g.forgetIfIdle()
	panic(fmt.Sprintf("lockorder: %v is released by a goroutine that did not take it", l))
}

// id returns the number of the calling goroutine, which the runtime tells only in a
// stack trace: "goroutine 7 [running]: …".
func id() int {
	var buf [64]byte
	text := bytes.TrimPrefix(buf[:runtime.Stack(buf[:], false)], []byte("goroutine "))
	digits, _, _ := bytes.Cut(text, []byte(" "))
	n, err := strconv.Atoi(string(digits))
	if err != nil {
		panic("lockorder: the runtime does not name the goroutine: " + string(text))
	}
	return n
}
