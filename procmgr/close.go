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

// killTime is how long Close waits for processes that it has killed. Only a process that
// the kernel holds up (state D) takes longer.
const killTime = time.Second

// Close ends every process of every scope and all that they forked: it terminates them,
// and kills what is left after Options.Grace. It returns when nothing of that is alive and
// no goroutine of the manager is left, but after Grace and a second at the latest, or when
// ctx ends; the error then names what is left. The Reach says whether descendants may
// have escaped.
//
// No command is started once Close was called. Starts that wait for their turn, for a
// hook, or for another start with their request id return ErrClosed. A command that the
// system is just starting is ended like the others, even if its start takes longer than
// Close. A second Close waits for the first and returns no error.
func (m *Manager) Close(ctx context.Context) (Reach, error) {
	reach := m.reach() // may start a program to find out
	m.mu.Lock()
	first := !m.isClosing()
	m.close()
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
	const named = 10 // there may be thousands
	switch {
	case len(left) > 0:
		return fmt.Errorf("cannot end every process; %d left: %s", len(left), strings.Join(left[:min(named, len(left))], " "))
	case !launched && !within(killed, m.launching.Wait):
		return errors.New("the system is still starting a command; it is ended as soon as it runs")
	case !within(killed, m.spawner.Wait):
		return errors.New("the output of a process is still being read")
	case !within(killed, m.background.Wait):
		return errors.New("the log handler has not returned")
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

// takeAll returns every process and lets none be forgotten any more. Unless launched, a
// start that returns later ends its own process.
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
