package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// benchmark measures a server.
type benchmark struct {
	version    string // what proctor version prints
	argv       []string
	perRound   int // samples of each time in a round
	killDomain string
	values     map[metric][]float64
}

// idleCommand outlives every measurement.
const idleCommand = `{"command":"exec sleep 600","background":true}`

// round measures everything once.
func (b *benchmark) round(ctx context.Context) error {
	if err := b.sample(metricStartUp, 4, func() (took time.Duration, err error) {
		err = b.with(ctx, func(s *server) error {
			took = s.greeted
			return nil
		})
		return took, err
	}); err != nil {
		return err
	}
	for _, measure := range []func(context.Context, *server) error{
		b.measureRuns, b.measureStarts, b.measureKills, b.measureReads, b.measureLists, b.measureBursts, b.measureFlood, b.measureMemory,
	} {
		if err := b.with(ctx, func(s *server) error { return measure(ctx, s) }); err != nil {
			return err
		}
	}
	return nil
}

// with calls f with a new server.
func (b *benchmark) with(ctx context.Context, f func(*server) error) error {
	s, err := startServer(ctx, b.argv)
	if err != nil {
		return err
	}
	err = f(s)
	return errors.Join(err, s.close())
}

func (b *benchmark) add(m metric, value float64) { b.values[m] = append(b.values[m], value) }

// sampleTime is when sampling stops in a round, so that a slow machine does not
// take minutes.
const sampleTime = 2 * time.Second

// sample calls f for the samples of a round, or for one in fraction of them. f returns
// the time to add.
func (b *benchmark) sample(m metric, fraction int, f func() (time.Duration, error)) error {
	begun := time.Now()
	for i := range (b.perRound + fraction - 1) / fraction {
		if i > 0 && time.Since(begun) > sampleTime {
			break
		}
		took, err := f()
		if err != nil {
			return err
		}
		b.add(m, milliseconds(took))
	}
	return nil
}

func (b *benchmark) measureRuns(ctx context.Context, s *server) error {
	return b.sample(metricTrue, 1, func() (time.Duration, error) {
		a, err := s.run(ctx, "", `{"command":"true"}`)
		return a.took(), err
	})
}

// run starts a command in a chat and waits for its exit, however long that takes. It
// returns the last answer, as if that had been sent with the start.
func (s *server) run(ctx context.Context, chat, arguments string) (answer, error) {
	a, err := s.call(ctx, chat, "process_start", arguments)
	return s.untilExit(ctx, chat, a, err)
}

// kill kills a process and waits for its exit.
func (s *server) kill(ctx context.Context, chat, id string) (answer, error) {
	a, err := s.call(ctx, chat, "process_signal", fmt.Sprintf(`{"process_id":%q,"signal":"kill"}`, id))
	return s.untilExit(ctx, chat, a, err)
}

// untilExit waits until an answer reports the exit of the process.
func (s *server) untilExit(ctx context.Context, chat string, a answer, err error) (answer, error) {
	sent := a.sent
	for err == nil && a.Running {
		a, err = s.call(ctx, chat, "process_output", fmt.Sprintf(`{"process_id":%q,"wait_ms":30000}`, a.ProcessID))
	}
	a.sent = sent
	return a, err
}

func (b *benchmark) measureStarts(ctx context.Context, s *server) error {
	return b.sample(metricStart, 1, func() (time.Duration, error) {
		a, err := s.call(ctx, "", "process_start", idleCommand)
		return a.took(), err
	})
}

func (b *benchmark) measureKills(ctx context.Context, s *server) error {
	return b.sample(metricKill, 1, func() (time.Duration, error) {
		a, err := s.call(ctx, "", "process_start", idleCommand)
		if err == nil {
			err = pause(ctx, 3*time.Millisecond) // by then the shell has become sleep
		}
		if err != nil {
			return 0, err
		}
		a, err = s.kill(ctx, "", a.ProcessID)
		return a.took(), err
	})
}

func (b *benchmark) measureReads(ctx context.Context, s *server) error {
	const size = 64 << 10
	a, err := s.call(ctx, "", "process_start", fmt.Sprintf(`{"command":"head -c %d /dev/zero | tr '\\0' x; exec sleep 600","background":true}`, size))
	if err != nil {
		return err
	}
	read := fmt.Sprintf(`{"process_id":%q,"wait_ms":0}`, a.ProcessID)
	for a.NextCursor < size { // it still writes
		if a, err = s.call(ctx, "", "process_output", read); err != nil {
			return err
		}
	}
	return b.sample(metricRead, 1, func() (time.Duration, error) {
		a, err := s.call(ctx, "", "process_output", read)
		return a.took(), err
	})
}

func (b *benchmark) measureLists(ctx context.Context, s *server) error {
	live := 0
	for _, step := range []struct {
		metric metric
		live   int
	}{{metricList1, 1}, {metricList100, 100}, {metricList1000, 1000}} {
		if _, err := s.startIdle(ctx, step.live-live); err != nil {
			return err
		}
		live = step.live
		if err := b.sample(step.metric, 1, func() (time.Duration, error) {
			a, err := s.call(ctx, "", "process_list", `{"limit":1000}`)
			if err == nil && len(a.Processes) != live {
				err = fmt.Errorf("process_list has %d of %d processes", len(a.Processes), live)
			}
			b.killDomain = a.KillDomain
			return a.took(), err
		}); err != nil {
			return err
		}
	}
	return nil
}

// startIdle starts n idle processes at once. It returns the time until the last
// start was answered.
func (s *server) startIdle(ctx context.Context, n int) (time.Duration, error) {
	var wg sync.WaitGroup
	errs := make([]error, n)
	last := make([]time.Time, n)
	begun := time.Now()
	for i := range n {
		wg.Go(func() {
			var a answer
			a, errs[i] = s.call(ctx, "", "process_start", idleCommand)
			last[i] = a.at
		})
	}
	wg.Wait()
	return slices.MaxFunc(last, time.Time.Compare).Sub(begun), errors.Join(errs...)
}

func (b *benchmark) measureBursts(ctx context.Context, s *server) error {
	return b.sample(metricStart100, 20, func() (time.Duration, error) { return s.startIdle(ctx, 100) })
}

func (b *benchmark) measureFlood(ctx context.Context, s *server) error {
	const size = 256 << 20
	a, err := s.run(ctx, "", fmt.Sprintf(`{"command":"head -c %d /dev/zero | tr '\\0' x","wait_ms":30000}`, size))
	if err != nil {
		return err
	}
	if a.NextCursor != size {
		return fmt.Errorf("%d of %d bytes arrived", a.NextCursor, size)
	}
	b.add(metricFlood, size/1e6/a.took().Seconds())
	b.addStatus(metricFloodPeak, s, "VmHWM", 1.0/1024)
	return nil
}

// addStatus adds a number of /proc/PID/status, where there is one.
func (b *benchmark) addStatus(m metric, s *server, name string, unit float64) (n int, ok bool) {
	if n, ok = s.status(name); ok {
		b.add(m, float64(n)*unit)
	}
	return n, ok
}

func (b *benchmark) measureMemory(ctx context.Context, s *server) error {
	const (
		live   = 500
		settle = time.Second // by then the server has returned the memory that its start used
	)
	if err := pause(ctx, settle); err != nil {
		return err
	}
	before, ok := b.addStatus(metricIdleRSS, s, "VmRSS", 1.0/1024)
	if !ok {
		return nil // only Linux reports it
	}
	if _, err := s.startIdle(ctx, live); err != nil {
		return err
	}
	if err := pause(ctx, settle/2); err != nil {
		return err
	}
	if after, ok := s.status("VmRSS"); ok {
		b.add(metricChildRSS, float64(after-before)/live)
	}
	b.addStatus(metricThreads, s, "Threads", 1)
	return nil
}

// pause waits for d, or returns the error of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
