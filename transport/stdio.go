package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/proctor-mcp/proctor/caller"
)

const (
	// MaxLineBytes is the longest message on stdio.
	MaxLineBytes = 8 << 20
	// maxBacklogBytes is how many bytes of requests may wait for their turn. Beyond that no
	// more is read. It is enough for all calls that a token may have in progress, so that
	// the calls of one chat do not keep those of another from being read.
	maxBacklogBytes = 32 << 20
	// requestBytes is how much memory a request takes beside its text.
	requestBytes = 1 << 10
	// lastWait is how long calls still wait after the end of the input: a script that
	// pipes its calls in wants their results.
	lastWait = 200 * time.Millisecond
	// answerTime is how long calls may take to answer once they no longer wait.
	answerTime = time.Second
)

// Stdio serves one client over lines of JSON-RPC.
type Stdio struct {
	Server *Server
	// Identity is what is known about the client.
	Identity caller.Identity
	// HungUp, if not nil, is closed when the client has closed the input, even if some
	// of it is still unread.
	HungUp <-chan struct{}
	// Unread, if not nil, is closed when nobody reads the output any more.
	Unread <-chan struct{}
	// OnCall, if not nil, is called at the first tool call.
	OnCall func()
	Log    *slog.Logger

	peer    peer
	out     output
	backlog *semaphore.Weighted // of maxBacklogBytes

	testHookFull func() // called when the backlog is full
}

// output writes messages.
type output struct {
	mu     sync.Mutex // guards to: one message at a time
	to     io.Writer
	failed chan error // gets the first error of writing
}

// Serve answers what comes from in on out. It returns nil at the end of the input, once
// the requests before it are answered, and otherwise ctx's error or that of reading or
// writing. It serves once.
func (s *Stdio) Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	s.out.to, s.out.failed = out, make(chan error, 1)
	s.backlog = semaphore.NewWeighted(maxBacklogBytes)
	s.peer = peer{server: s.Server, requests: newRequests(), owner: "stdio", identity: s.Identity, send: s.out.send}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The reader waits for room in the backlog until bounded ends, with the input.
	bounded, unbound := context.WithCancel(ctx)
	defer unbound()
	read := make(chan error, 1)
	go s.read(ctx, bounded, bufio.NewReaderSize(in, 64<<10), read)

	var err error
	wait := time.Duration(0)
	hungUp := s.HungUp
	for waiting := true; waiting; {
		waiting = false
		select {
		case err = <-read:
			wait = lastWait
		case err = <-s.out.failed:
		case <-s.Unread:
		case <-ctx.Done():
			err = ctx.Err()
		case <-hungUp:
			// Little is left of the input. Its end must not wait for a client that
			// reads no answers.
			unbound()
			hungUp, waiting = nil, true
		}
	}
	unbound()
	s.peer.requests.end()
	if !s.peer.requests.awaitIdle(wait) {
		s.Server.EndWaits()
		if !s.peer.requests.awaitIdle(answerTime) {
			s.Log.Warn("calls were left without an answer")
		}
	}
	return err
}

// read reads messages until the end of the input, and then sends the error, or nil, to end.
// It waits for room in the backlog until bounded has ended.
//
// The goroutine that reads a request whose turn it is answers it, and leaves the reading
// to another one. Otherwise each answer would wait for a thread to wake up: 50 µs, and
// milliseconds on a busy machine.
func (s *Stdio) read(ctx, bounded context.Context, in *bufio.Reader, end chan<- error) {
	for {
		line, err := readLine(in)
		var answer func()
		switch {
		case errors.Is(err, errLineTooLong):
			err = nil
			s.refuse(bounded, &protocolError{code: codeInvalidRequest, text: fmt.Sprintf("the message is longer than %d bytes", MaxLineBytes)})
		case len(line) > 0:
			answer = s.take(ctx, bounded, line)
		}
		switch {
		case err == io.EOF:
			end <- nil
		case err != nil:
			end <- fmt.Errorf("read: %w", err)
		case answer != nil:
			go s.read(ctx, bounded, in, end)
		}
		if answer != nil {
			answer()
		}
		if err != nil || answer != nil {
			return
		}
	}
}

// take takes a message. A notification takes effect at once. If it is a request's turn,
// take returns what answers it; otherwise the request waits for its turn.
func (s *Stdio) take(ctx, bounded context.Context, line []byte) (answer func()) {
	switch m, bad := parse(line); {
	case bad != nil:
		s.refuse(bounded, bad)
	case m.method == methodCancelled:
		s.peer.requests.cancel(s.peer.owner, m.cancels)
	case !m.isRequest():
		s.Server.library.notice(ctx, &m)
	default:
		if m.tool != "" && s.OnCall != nil {
			s.OnCall()
			s.OnCall = nil
		}
		release := s.acquire(bounded, len(line)+requestBytes)
		answer, ok := s.peer.begin(ctx, m, nil, release)
		if !ok {
			release()
		}
		return answer
	}
	return nil
}

// refuse answers a message that is no request.
func (s *Stdio) refuse(bounded context.Context, bad *protocolError) {
	s.peer.refuse(bad, s.acquire(bounded, requestBytes))
}

// acquire waits for room in the backlog. The returned function makes it free again.
func (s *Stdio) acquire(bounded context.Context, size int) (release func()) {
	n := int64(size)
	if !s.backlog.TryAcquire(n) {
		if s.testHookFull != nil {
			s.testHookFull()
		}
		if s.backlog.Acquire(bounded, n) != nil {
			return func() {}
		}
	}
	return sync.OnceFunc(func() { s.backlog.Release(n) })
}

// send implements send of peer.
func (o *output) send(text []byte, still func() bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if still != nil && !still() {
		return
	}
	if _, err := o.to.Write(append(text, '\n')); err != nil {
		select {
		case o.failed <- fmt.Errorf("write: %w", err):
		default:
		}
	}
}

var errLineTooLong = errors.New("line too long")

// readLine returns the next line without its end. It skips a line that is longer than
// MaxLineBytes, so that the next one is read from its beginning.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for tooLong := false; ; {
		part, err := in.ReadSlice('\n')
		if tooLong = tooLong || len(line)+len(part) > MaxLineBytes; tooLong {
			line = nil
		} else {
			line = append(line, part...)
		}
		switch {
		case err == bufio.ErrBufferFull:
			continue
		case tooLong && (err == nil || err == io.EOF):
			return nil, errLineTooLong // the next read finds the end
		}
		return trimLine(line), err
	}
}

func trimLine(line []byte) []byte {
	for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
		line = line[:len(line)-1]
	}
	return line
}
