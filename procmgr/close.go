package procmgr

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// killTime is how long Close waits for what it has killed. Only a process that
// the kernel does not let go (state D) takes longer.
const killTime = time.Second

// Close ends every process of every scope, with its kill domain: terminate, after
// Options.Grace kill. It returns when all have ended and nothing of the manager
// runs any more, after Grace and a second at the latest, or when ctx ends; the
// error then names what is left. New starts get ErrClosed; a start in flight is
// ended like the rest. A second Close waits for the first and returns nil.
func (m *Manager) Close(ctx context.Context) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		select {
		case <-m.closeDone:
		case <-ctx.Done():
		}
		return nil
	}
	m.closed = true
	m.closeDone = make(chan struct{})
	m.mu.Unlock()
	defer close(m.closeDone)

	killed, cancel := context.WithCancel(ctx)
	defer cancel()
	graceful, graceOver := context.WithCancel(killed)
	defer graceOver()
	defer m.opts.Clock.AfterFunc(m.opts.Grace, graceOver, "close", "grace").Stop()
	defer m.opts.Clock.AfterFunc(m.opts.Grace+killTime, cancel, "close", "kill").Stop()
	hung := !within(graceful, m.starting.Wait)
	all := m.stopTimers()

	var wg sync.WaitGroup
	left := make([]string, len(all)) // ids, empty of those that have ended
	for i, p := range all {
		wg.Go(func() {
			if !p.end(graceful, killed) {
				left[i] = p.facts.ID
			}
			p.mu.Lock()
			p.timers.stop()
			p.mu.Unlock()
			p.spawned.Release()
		})
	}
	wg.Wait()
	left = slices.DeleteFunc(left, func(id string) bool { return id == "" })
	const named = 10 // of what may be thousands
	switch {
	case len(left) > 0:
		return fmt.Errorf("cannot end every process; %d left: %s", len(left), strings.Join(left[:min(named, len(left))], " "))
	case hung:
		return errors.New("a start has not come back")
	case !within(killed, m.spawner.Wait):
		return errors.New("the output of a process is still being read")
	case !within(killed, m.logging.Wait):
		return errors.New("the log does not take the end of a process")
	}
	if m.space.Folder != nil {
		return m.space.Folder.Close()
	}
	return nil
}

// within says that f returns before ctx ends.
func within(ctx context.Context, f func()) bool {
	done := make(chan struct{})
	go func() {
		f()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

// stopTimers returns everything that may live and keeps it from being forgotten
// meanwhile.
func (m *Manager) stopTimers() (all []*process) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, scope := range m.scopes {
		for _, p := range scope {
			all = append(all, p)
		}
	}
	for _, scope := range m.requests {
		for _, r := range scope {
			if r.expiry != nil {
				r.expiry.Stop()
			}
		}
	}
	return all
}

// end terminates, then kills when graceful ends, and says whether all is gone
// before killed ends.
func (p *process) end(graceful, killed context.Context) bool {
	if p.stop(SignalTerminate, ReasonShutdown, NoGrace) == nil && p.awaitGone(graceful) == nil {
		return true
	}
	_ = p.stop(SignalKill, ReasonShutdown, NoGrace) // what is left then says it
	return p.awaitGone(killed) == nil
}

// awaitGone returns nil once the process has ended and nothing that it forked is
// alive, or the context's error.
func (p *process) awaitGone(ctx context.Context) error {
	select {
	case <-p.empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
