package spawn

import (
	"sync"
	"time"

	"github.com/coder/quartz"
)

// DrainTime is how long an exit waits for the end of the output while a descendant of the
// command holds the pipe open. It gives a last helper in a pipeline the time to finish,
// and keeps the announcement of the exit well within a second.
const DrainTime = 500 * time.Millisecond

// Options configure a [Spawner].
type Options struct {
	// Host is what [Setup] returned: with it the kill domain is the best that the
	// machine offers. With nil it is the process group, and nothing is done that
	// concerns the whole program.
	Host *Host
	// Clock stamps exits. Nil is the real time. Pauses and deadlines that wait for the
	// kernel alone are always in real time.
	Clock quartz.Clock
}

// Spawner starts commands and owns the goroutines that follow them. Its methods
// may be called concurrently.
type Spawner struct {
	host   *Host // nil: nothing process-wide was set up
	clock  quartz.Clock
	wg     sync.WaitGroup // goroutines, pipes, and commands until their kill domain is closed
	system system
}

// New returns a Spawner.
func New(opts Options) *Spawner {
	if opts.Clock == nil {
		opts.Clock = quartz.NewReal()
	}
	return &Spawner{host: opts.Host, clock: opts.Clock}
}

// KillDomain is what its signals reach.
func (s *Spawner) KillDomain() KillDomain {
	if s.host == nil {
		return bareDomain
	}
	return s.host.KillDomain()
}
