//go:build unix

package loop

import (
	"time"

	"github.com/proctor-mcp/proctor/procmgr/lockorder"
)

// ReadBytes is how much one read of an output takes at most. The usual pipe holds as
// much.
const ReadBytes = 64 << 10

// Loop watches descriptors, and calls their handlers in one goroutine.
type Loop struct {
	poller *poller
	done   chan struct{} // closed when the goroutine has ended

	// Of the goroutine alone.
	buffer     [ReadBytes]byte
	floods     floods
	resting    []func() // called when the window of floods is over
	largePipes int      // how many pipes are large now

	mu       lockorder.Mutex[loopPlace] // guards the fields below
	handlers map[int]Handler            // by descriptor
	calls    []func()                   // for the goroutine to make
	stopped  bool
}

type loopPlace struct{}

func (loopPlace) Place() (int, bool) { return 1000, false } // the last

// Handler is what a descriptor belongs to.
type Handler interface {
	// Ready is called in the loop when the descriptor can be read. It may be called in
	// vain: the descriptor can have been closed meanwhile, and its number reused.
	Ready()
}

// New starts a loop. Stop ends it.
func New() (*Loop, error) {
	poller, err := newPoller()
	if err != nil {
		return nil, err
	}
	l := &Loop{poller: poller, done: make(chan struct{}), handlers: map[int]Handler{}}
	go l.run()
	return l, nil
}

func (l *Loop) run() {
	defer close(l.done)
	defer l.poller.close()
	defer lockorder.OnlyBrief()()
	for {
		for _, fd := range l.poller.wait() {
			l.mu.Lock()
			h := l.handlers[fd]
			l.mu.Unlock()
			if h != nil {
				h.Ready()
			}
		}
		l.mu.Lock()
		calls, stopped := l.calls, l.stopped
		l.calls = nil
		l.mu.Unlock()
		for _, call := range calls {
			call()
		}
		if stopped {
			return
		}
	}
}

// Watch has the loop call h.Ready when fd can be read: each time until Unwatch, or only
// once.
func (l *Loop) Watch(fd int, h Handler, once bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.poller.add(fd, once); err != nil {
		return err
	}
	l.handlers[fd] = h
	return nil
}

// Unwatch must be called before a watched descriptor is closed.
func (l *Loop) Unwatch(fd int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.poller.remove(fd)
	delete(l.handlers, fd)
}

// Post has the loop call f. Once it is stopped, nothing is called.
func (l *Loop) Post(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.stopped {
		l.calls = append(l.calls, f)
		l.poller.wake()
	}
}

// rest has the loop call resume when the window of floods is over.
func (l *Loop) rest(resume func()) {
	l.resting = append(l.resting, resume)
	if len(l.resting) == 1 {
		time.AfterFunc(floodWindow, func() { l.Post(l.windowOver) })
	}
}

func (l *Loop) windowOver() {
	for _, resume := range l.resting {
		resume()
	}
	l.resting = nil
}

// Stop ends the loop and waits for it.
func (l *Loop) Stop() {
	l.mu.Lock()
	l.stopped = true
	l.poller.wake()
	l.mu.Unlock()
	<-l.done
}
