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
// Options.Grace kill. It returns when all are gone and nothing of the manager runs any
// more, after Grace and a second at the latest, or when ctx ends; the error then names
// what is left. What it returns beside says whether anything may have escaped.
//
// No command is started once Close was called. Starts that wait for their turn, for a
// hook or for another start with their request id get ErrClosed; a command that the
// system is about to start is ended like the rest, also if that takes longer than
// Close. A second Close waits for the first and returns no error.
func (m *Manager) Close(ctx context.Context) (Reach, error) {
	m.mu.Lock()
	first := !m.isClosing()
	m.close()
	reach := m.reach()
	reach.Escapes = reach.Escapes && m.seq > 0
	m.mu.Unlock()
	if !first {
		select {
		case <-m.closed:
		case <-ctx.Done():
		}
		return reach, nil
	}
	defer close(m.closed)
	return reach, m.endAll(ctx)
}

func (m *Manager) endAll(ctx context.Context) error {
	killed, cancel := context.WithCancel(ctx)
	defer cancel()
	graceful, graceOver := context.WithCancel(killed)
	defer graceOver()
	defer m.opts.Clock.AfterFunc(m.opts.Grace, graceOver, "close", "grace").Stop()
	defer m.opts.Clock.AfterFunc(m.opts.Grace+killTime, cancel, "close", "kill").Stop()

	launched := within(graceful, m.launching.Wait)
	all := m.takeAll(launched)
	var wg sync.WaitGroup
	left := make([]string, len(all)) // ids; empty for processes that are gone
	for i, p := range all {
		wg.Go(func() {
			if !p.end(graceful, killed) {
				left[i] = p.facts.ID
			}
			p.release()
		})
	}
	wg.Wait()
	left = slices.DeleteFunc(left, func(id string) bool { return id == "" })
	const named = 10 // of what may be thousands
	switch {
	case len(left) > 0:
		return fmt.Errorf("cannot end every process; %d left: %s", len(left), strings.Join(left[:min(named, len(left))], " "))
	case !launched:
		return errors.New("the system has not come back from starting a command, which is ended as soon as it does")
	case !within(killed, m.spawner.Wait):
		return errors.New("the output of a process is still being read")
	case !within(killed, m.background.Wait):
		return errors.New("the log does not take the end of a process")
	}
	return m.space.Close()
}

// within reports whether f returns before ctx ends.
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

// takeAll returns every process, none of which is forgotten from now on. Starts that
// come back later end what they have started, unless all were launched.
func (m *Manager) takeAll(launched bool) []*process {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.late = !launched
	for _, b := range m.scopes {
		for _, r := range b.requests {
			stopTimer(r.expiry)
		}
	}
	return m.scopes.processes()
}
