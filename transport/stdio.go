package transport

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

const (
	// MaxLineBytes is the longest message on stdio.
	MaxLineBytes = 8 << 20
	// lastTime is how long waiting calls go on waiting after the end of the input:
	// a script that pipes its calls in wants their results.
	lastTime = 200 * time.Millisecond
	// answerTime is how long calls may take to answer once they no longer wait.
	answerTime = time.Second
)

// Stdio serves one client over lines of JSON-RPC.
type Stdio struct {
	Server *server.MCPServer
	// EndWaits makes waiting calls answer; it is called at the end of the input.
	EndWaits func()
	Log      *slog.Logger

	writing sync.Mutex // guards out: one message at a time
	out     io.Writer
	failed  chan error // holds the first error of writing

	mu     sync.Mutex    // guards the fields below
	calls  int           // on their way
	ending bool          // no more calls are taken
	idle   chan struct{} // closed once it is ending and none is on its way
}

// Serve answers what comes from in on out. It returns nil at the end of the
// input, once the calls on their way were answered, and otherwise ctx's error or
// that of reading or writing.
func (s *Stdio) Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	s.out = out
	s.failed = make(chan error, 1)
	s.idle = make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	read := make(chan error, 1)
	go func() { read <- s.read(ctx, bufio.NewReaderSize(in, 64<<10)) }()
	var err error
	last := time.Duration(0)
	select {
	case err = <-read:
		last = lastTime
	case err = <-s.failed:
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.end()
	if !s.answered(last) {
		s.EndWaits()
		if !s.answered(answerTime) {
			s.Log.Warn("calls were left without an answer")
		}
	}
	return err
}

// begin takes a call, unless it is too late.
func (s *Stdio) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ending {
		s.calls++
	}
	return !s.ending
}

// done is the end of a call.
func (s *Stdio) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls--; s.ending && s.calls == 0 {
		close(s.idle)
	}
}

// end takes no more calls.
func (s *Stdio) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = true
	if s.calls == 0 {
		close(s.idle)
	}
}

// answered waits that long for all calls to be answered.
func (s *Stdio) answered(atMost time.Duration) bool {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-s.idle:
		return true
	case <-timer.C:
		return false
	}
}

func (s *Stdio) read(ctx context.Context, in *bufio.Reader) error {
	for {
		line, err := readLine(in)
		if errors.Is(err, errLineTooLong) {
			if s.begin() {
				go func() {
					defer s.done()
					s.write(mcp.NewJSONRPCError(mcp.RequestId{}, mcp.INVALID_REQUEST,
						fmt.Sprintf("message is longer than %d bytes", MaxLineBytes), nil))
				}()
			}
			continue
		}
		if len(line) > 0 {
			s.dispatch(ctx, line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
	}
}

// dispatch answers a message. A request may wait, to be done or to be read by
// the client, so each runs on its own; a notification is quick and has no answer.
func (s *Stdio) dispatch(ctx context.Context, line []byte) {
	var head struct {
		ID json.RawMessage `json:"id"`
	}
	if err := json.Unmarshal(line, &head); err == nil && head.ID == nil {
		s.Server.HandleMessage(ctx, line)
		return
	}
	if s.begin() {
		go func() {
			defer s.done()
			s.answer(ctx, line)
		}()
	}
}

func (s *Stdio) answer(ctx context.Context, line []byte) {
	if response := s.Server.HandleMessage(ctx, line); response != nil {
		s.write(response)
	}
}

func (s *Stdio) write(message any) {
	text, err := json.Marshal(message)
	if err != nil {
		s.Log.Error("cannot encode an answer", "error", err)
		return
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if _, err := s.out.Write(append(text, '\n')); err != nil {
		select {
		case s.failed <- fmt.Errorf("write: %w", err):
		default:
		}
	}
}

var errLineTooLong = errors.New("line too long")

// readLine returns the next line without its end. A longer one than MaxLineBytes
// is skipped, so that the stream stays in step.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		tooLong := len(line)+len(part) > MaxLineBytes
		if !tooLong {
			line = append(line, part...)
		}
		switch {
		case err == bufio.ErrBufferFull && tooLong:
			return nil, skipLine(in)
		case err == bufio.ErrBufferFull:
			continue
		case tooLong:
			return nil, errLineTooLong
		}
		return trimLine(line), err
	}
}

func skipLine(in *bufio.Reader) error {
	for {
		_, err := in.ReadSlice('\n')
		switch err {
		case nil:
			return errLineTooLong
		case bufio.ErrBufferFull:
		default:
			return err
		}
	}
}

func trimLine(line []byte) []byte {
	for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
		line = line[:len(line)-1]
	}
	return line
}
