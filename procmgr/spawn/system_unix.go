//go:build unix

package spawn

import (
	"sync/atomic"

	"github.com/proctor-mcp/proctor/procmgr/lockorder"
	"github.com/proctor-mcp/proctor/procmgr/spawn/loop"
)

// system is the part of a Spawner that only Unix has.
type system struct {
	noPidfd   atomic.Bool           // the kernel refuses pidfds
	lastFound atomic.Pointer[found] // the program that was looked up last

	mu   lockorder.Mutex[systemPlace] // guards the field below
	loop *loop.Loop                   // nil before the first start and after stopLoop
}

type systemPlace struct{}

func (systemPlace) Place() (int, bool) { return 5, true }

// startLoop returns the loop, which runs until stopLoop.
func (s *system) startLoop() (*loop.Loop, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loop == nil {
		l, err := loop.New()
		if err != nil {
			return nil, err
		}
		s.loop = l
	}
	return s.loop, nil
}

func (s *system) stopLoop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loop != nil {
		s.loop.Stop()
		s.loop = nil
	}
}
