//go:build linux

package procmgr

import (
	"fmt"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"github.com/proctor-mcp/proctor/proctest"
)

const (
	// idle lives until it is killed.
	idle = "exec sleep 600"
	// manyGrace is how long a thousand processes may take to end on a slow machine.
	manyGrace = 10 * time.Second
)

func BenchmarkStart(b *testing.B) {
	m := newManager(b, Options{})
	for b.Loop() {
		p := sh(b, m, idle)
		b.StopTimer()
		killGone(b, m, p)
		b.StartTimer()
	}
}

// BenchmarkExit times a command that does nothing, from before its start until its exit is
// known.
func BenchmarkExit(b *testing.B) {
	m := newManager(b, Options{})
	for b.Loop() {
		p := sh(b, m, "true")
		if err := of(b, m, p).Wait(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParallelStarts(b *testing.B) {
	const starts = 100
	m := newManager(b, Options{Grace: manyGrace})
	for b.Loop() {
		list := startIdle(b, m, starts)
		b.StopTimer()
		for _, p := range list {
			killGone(b, m, p)
		}
		b.StartTimer()
	}
}

func BenchmarkList(b *testing.B) {
	for _, live := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("live=%d", live), func(b *testing.B) {
			m := newManager(b, Options{Grace: manyGrace})
			startIdle(b, m, live)
			b.ReportAllocs()
			for b.Loop() {
				if list, _ := m.In(Chat("c")).List(FilterAll, live); len(list) != live {
					b.Fatalf("%d of %d are listed", len(list), live)
				}
			}
		})
	}
}

// BenchmarkSignal times a kill until the process is gone.
func BenchmarkSignal(b *testing.B) {
	m := newManager(b, Options{})
	for b.Loop() {
		b.StopTimer()
		p := sh(b, m, idle)
		b.StartTimer()
		killGone(b, m, p)
	}
}

func BenchmarkRead(b *testing.B) {
	const size = 64 << 10
	m := newManager(b, Options{})
	p, _ := wait(b, m, sh(b, m, fmt.Sprintf(`head -c %d /dev/zero | tr '\0' x`, size)))
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		if _, view := of(b, m, p).View(); view.Original() != size {
			b.Fatalf("%d bytes", view.Original())
		}
	}
}

// BenchmarkPorts times a look where a process listens, with others in its kill domain.
func BenchmarkPorts(b *testing.B) {
	proctest.Need(b, "python3")
	for _, others := range []int{0, 49} {
		b.Run(fmt.Sprintf("processes=%d", 1+others), func(b *testing.B) {
			m := newManager(b, Options{})
			p := sh(b, m, fmt.Sprintf(`for i in $(seq %d); do sleep 300 & done; exec python3 -u -m http.server 0 --bind 127.0.0.1`, others))
			awaitPort(b, m, p)
			b.ReportAllocs()
			for b.Loop() {
				if ports, err := of(b, m, p).Ports(); err != nil || len(ports) != 1 {
					b.Fatal(ports, err)
				}
			}
		})
	}
}

// BenchmarkIdleMemory reports by how much this program grows with each idle process. What
// it times is their starts.
func BenchmarkIdleMemory(b *testing.B) {
	const more = 100
	m := newManager(b, Options{Grace: manyGrace})
	debug.FreeOSMemory()
	before := measure(b)
	live := 0
	for b.Loop() {
		startIdle(b, m, more)
		live += more
	}
	debug.FreeOSMemory()
	b.ReportMetric(float64(measure(b).rssKiB-before.rssKiB)*1024/float64(live), "RSS-B/process")
}

// startIdle starts n idle processes at once.
func startIdle(b *testing.B, m *Manager, n int) []Process {
	b.Helper()
	var wg sync.WaitGroup
	list := make([]Process, n)
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() {
			started, err := m.In(Chat("c")).Start(b.Context(), Spec{Command: idle})
			if errs[i] = err; err == nil {
				list[i] = started.Snapshot()
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			b.Fatal(err)
		}
	}
	return list
}

func killGone(b *testing.B, m *Manager, p Process) {
	b.Helper()
	if _, err := of(b, m, p).Signal(SignalKill, NoGrace); err != nil {
		b.Fatal(err)
	}
	if err := of(b, m, p).WaitGone(b.Context()); err != nil {
		b.Fatal(err)
	}
}
