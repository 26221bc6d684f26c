//go:build linux

package loop

import (
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/proctest"
)

// source is a pipe that a test writes to.
type source struct {
	Pipe
	writer *os.File
	bytes  atomic.Int64
	closed chan struct{}
}

func (s *source) Draining() bool { return false }
func (s *source) PipeClosed()    { close(s.closed) }

func newLoop(t *testing.T) *Loop {
	t.Helper()
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Stop)
	return l
}

func newSource(t *testing.T, l *Loop) *source {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		t.Fatal(err)
	}
	s := &source{writer: os.NewFile(uintptr(fds[1]), "pipe"), closed: make(chan struct{})}
	s.Pipe = l.NewPipe(fds[0], s, func(p []byte) { s.bytes.Add(int64(len(p))) })
	if err := s.Watch(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.writer.Close()
		<-s.closed
	})
	return s
}

// flood writes as fast as it can until the pipe is closed.
func (s *source) flood(wg *sync.WaitGroup) {
	wg.Go(func() {
		block := make([]byte, ReadBytes)
		for {
			if _, err := s.writer.Write(block); err != nil {
				return
			}
		}
	})
}

// in returns what f returns in the loop.
func in[T any](l *Loop, f func() T) (value T) {
	done := make(chan struct{})
	l.Post(func() {
		value = f()
		close(done)
	})
	<-done
	return value
}

// A busy pipe becomes larger, and small again when it is quiet.
func TestBusyPipesAreLarge(t *testing.T) {
	l := newLoop(t)
	s := newSource(t, l)
	size := func() int {
		return in(l, func() int {
			n, _ := unix.FcntlInt(uintptr(s.fd), unix.F_GETPIPE_SZ, 0)
			return n
		})
	}
	block := make([]byte, 1<<20)
	proctest.Within(t, "large", func() bool {
		_, err := s.writer.Write(block)
		return err == nil && size() == largeSize
	})
	proctest.Within(t, "small again", func() bool { return size() == usualSize })
	if n := in(l, func() int { return l.largePipes }); n != 0 {
		t.Errorf("%d pipes count as large", n)
	}
}

// Many floods take turns, and others go on beside them.
func TestManyFloodsRest(t *testing.T) {
	l := newLoop(t)
	var wg sync.WaitGroup
	defer wg.Wait()
	var floods []*source
	for range 8 {
		s := newSource(t, l)
		defer s.writer.Close()
		s.flood(&wg)
		floods = append(floods, s)
	}
	resting := func() int { return in(l, func() int { return len(l.resting) }) }
	proctest.Within(t, "all rest", func() bool { return resting() == len(floods) })
	quiet := newSource(t, l)
	if _, err := quiet.writer.WriteString("hello"); err != nil {
		t.Fatal(err)
	}
	quiet.writer.Close()
	<-quiet.closed
	if n := quiet.bytes.Load(); n != 5 {
		t.Errorf("%d bytes came beside the floods", n)
	}
	for _, s := range floods[2:] {
		l.Post(s.Close)
		<-s.closed
	}
	proctest.Within(t, "few never rest", func() bool {
		for range 1000 {
			if resting() > 0 {
				return false
			}
		}
		return true
	})
}
