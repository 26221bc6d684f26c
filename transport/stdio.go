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

	mu  sync.Mutex // guards out: one message at a time
	out io.Writer

	calls  sync.WaitGroup
	failed chan error // holds the first error of writing
}

// Serve answers what comes from in on out. It returns nil at the end of the
// input, once the calls on their way were answered, and otherwise ctx's error or
// that of reading or writing.
func (s *Stdio) Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	s.out = out
	s.failed = make(chan error, 1)
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
	if !s.answered(last) {
		s.EndWaits()
		if !s.answered(answerTime) {
			s.Log.Warn("calls were left without an answer")
		}
	}
	return err
}

// answered waits that long for all calls to be answered.
func (s *Stdio) answered(atMost time.Duration) bool {
	all := make(chan struct{})
	go func() {
		s.calls.Wait()
		close(all)
	}()
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-all:
		return true
	case <-timer.C:
		return false
	}
}

func (s *Stdio) read(ctx context.Context, in *bufio.Reader) error {
	for {
		line, err := readLine(in)
		if errors.Is(err, errLineTooLong) {
			s.write(mcp.NewJSONRPCError(mcp.RequestId{}, mcp.INVALID_REQUEST,
				fmt.Sprintf("message is longer than %d bytes", MaxLineBytes), nil))
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

// dispatch answers a message. Tool calls may wait, so each runs on its own; the
// rest is quick and keeps its order.
func (s *Stdio) dispatch(ctx context.Context, line []byte) {
	var head struct {
		Method string `json:"method"`
	}
	// A line that is not JSON gets its answer from the server below.
	_ = json.Unmarshal(line, &head)
	if head.Method != string(mcp.MethodToolsCall) {
		s.answer(ctx, line)
		return
	}
	s.calls.Go(func() { s.answer(ctx, line) })
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
	s.mu.Lock()
	defer s.mu.Unlock()
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
