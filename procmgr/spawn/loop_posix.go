//go:build linux || darwin

package spawn

import "sync"

// loop hears what happens to the descriptors of all commands, in one goroutine: a
// goroutine for each would take more memory than all else that is kept of a
// command, and hand over to another at each exit.
type loop struct {
	poller *poller
	buffer [readBytes]byte // of the goroutine alone, like floods
	floods floods
	done   chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex      // guards the fields below
	watched map[int]watched // by descriptor
	calls   []func()        // for the goroutine to make
	stopped bool
}

// watched says what a descriptor is to a process.
type watched struct {
	process *Process
	outlet  *outlet // nil: the handle of its leader
}

func newLoop() (*loop, error) {
	poller, err := newPoller()
	if err != nil {
		return nil, err
	}
	l := &loop{poller: poller, done: make(chan struct{}), watched: map[int]watched{}}
	go l.run()
	return l, nil
}

func (l *loop) run() {
	defer close(l.done)
	defer l.poller.close()
	for {
		for _, fd := range l.poller.wait() {
			l.mu.Lock()
			w := l.watched[fd]
			l.mu.Unlock()
			// A descriptor may have been closed since, and its number be another's by
			// now: each of these finds that nothing is there for it.
			switch {
			case w.process == nil:
			case w.outlet == nil:
				w.process.exitSeen()
			default:
				w.outlet.readSome()
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

// watch has the loop hear of a descriptor: that it can be read, or of an exit.
func (l *loop) watch(fd int, w watched) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.poller.add(fd, w.outlet == nil); err != nil {
		return err
	}
	l.watched[fd] = w
	return nil
}

// unwatch is called before a descriptor is closed.
func (l *loop) unwatch(fd int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.poller.remove(fd)
	delete(l.watched, fd)
}

// post has the loop call f. Once it is stopped, nothing is called.
func (l *loop) post(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.stopped {
		l.calls = append(l.calls, f)
		l.poller.wake()
	}
}

// stop ends the loop and waits for it.
func (l *loop) stop() {
	l.mu.Lock()
	l.stopped = true
	l.poller.wake()
	l.mu.Unlock()
	<-l.done
}
