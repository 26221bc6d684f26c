//go:build race

package lockorder

import (
	"strings"
	"testing"
)

type (
	first  struct{}
	second struct{}
	third  struct{}
)

func (first) Place() (int, bool)  { return 1, true }
func (second) Place() (int, bool) { return 2, true }
func (third) Place() (int, bool)  { return 3, false }

// panics returns what f panics with, "" if it does not.
func panics(f func()) (message string) {
	defer func() {
		if p := recover(); p != nil {
			message = p.(string)
		}
	}()
	f()
	return ""
}

func TestOrder(t *testing.T) {
	var a Mutex[first]
	var b RWMutex[second]
	var other RWMutex[second]
	var c Mutex[third]
	a.Lock()
	b.RLock()
	c.Lock()
	c.Unlock()
	b.RUnlock()
	b.Lock()
	b.Unlock()
	a.Unlock()
	for name, test := range map[string]struct {
		f    func()
		want string
	}{
		"backwards":              {func() { b.Lock(); defer b.Unlock(); a.Lock() }, "first is taken while lockorder.second is held"},
		"two of one place":       {func() { b.RLock(); defer b.RUnlock(); other.RLock() }, "second is taken while lockorder.second is held"},
		"again":                  {func() { c.Lock(); defer c.Unlock(); c.Lock() }, "third is taken while lockorder.third is held"},
		"slow work under brief":  {func() { c.Lock(); defer c.Unlock(); Slow() }, "slow work while lockorder.third is held"},
		"slow work under slow":   {func() { a.Lock(); defer a.Unlock(); Slow() }, ""},
		"slow lock of the loop":  {func() { defer OnlyBrief()(); a.Lock() }, "first is taken by a goroutine"},
		"slow work of the loop":  {func() { defer OnlyBrief()(); Slow() }, "slow work in a goroutine"},
		"brief lock of the loop": {func() { defer OnlyBrief()(); c.Lock(); c.Unlock() }, ""},
		"not its own":            {func() { release[first]() }, "did not take it"},
	} {
		if got := panics(test.f); got == "" != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
	goroutines.Range(func(id, g any) bool {
		t.Errorf("goroutine %v is still remembered: %+v", id, g)
		return true
	})
}
