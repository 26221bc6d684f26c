package transport

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/proctor-mcp/proctor/tools"
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
	// HungUp, if not nil, is closed when the client has closed the input, also
	// while there is something left to read of it.
	HungUp <-chan struct{}
	// Unread, if not nil, is closed when nobody reads the output any more.
	Unread <-chan struct{}
	// OnCall, if not nil, is called at the first tool call.
	OnCall func()
	// Version is that of the program.
	Version string
	Log     *slog.Logger

	writing  sync.Mutex // guards out: one message at a time
	out      io.Writer
	failed   chan error // holds the first error of writing
	encoder  encoder
	requests *requests

	mu    sync.Mutex // guards the fields below
	busy  int        // requests that are worked on or wait to be written
	ended bool       // there is nothing more to wait for
	room  *sync.Cond // tells of a change of either; its lock is mu
	// inputs are closed when the last input read for a process is written, by its id.
	inputs map[string]<-chan struct{}

	testHookFull func() // called when no more is read
}

// connection is the owner of the one client's ids.
const connection = "stdio"

// Serve answers what comes from in on out. It returns nil at the end of the
// input, once the requests on their way were answered, and otherwise ctx's error
// or that of reading or writing. It serves once.
func (s *Stdio) Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	s.out = out
	s.failed = make(chan error, 1)
	s.room = sync.NewCond(&s.mu)
	s.inputs = map[string]<-chan struct{}{}
	s.encoder = newEncoder("proctor", "Proctor", s.Version)
	s.requests = newRequests()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	read := make(chan error, 1)
	go s.read(ctx, bufio.NewReaderSize(in, 64<<10), read)
	var err error
	last := time.Duration(0)
	hungUp := s.HungUp
	for waiting := true; waiting; {
		waiting = false
		select {
		case err = <-read:
			last = lastTime
		case err = <-s.failed:
		case <-s.Unread:
		case <-ctx.Done():
			err = ctx.Err()
		case <-hungUp:
			// What is left of the input is little; the end of it must not wait for
			// a client that reads no answers.
			hungUp, waiting = nil, true
			s.noMoreRoom()
		}
	}
	s.noMoreRoom()
	s.requests.end()
	if !s.requests.finished(last) {
		s.EndWaits()
		if !s.requests.finished(answerTime) {
			s.Log.Warn("calls were left without an answer")
		}
	}
	return err
}

// noMoreRoom lets the reader go on, whatever waits to be written.
func (s *Stdio) noMoreRoom() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.room.Signal()
}

// read reads until the end, whose error it sends. Whoever has read a request
// answers it, and leaves the reading to another goroutine: an answer begins at
// once then, on the thread that is already awake.
func (s *Stdio) read(ctx context.Context, in *bufio.Reader, end chan<- error) {
	for {
		s.awaitRoom()
		line, err := readLine(in)
		var answer func()
		switch {
		case errors.Is(err, errLineTooLong):
			err = nil
			answer = s.refuse(&protocolError{nil, mcp.INVALID_REQUEST, fmt.Sprintf("the message is longer than %d bytes", MaxLineBytes)})
		case len(line) > 0:
			answer = s.dispatch(ctx, line)
		}
		switch {
		case err == io.EOF:
			end <- nil
		case err != nil:
			end <- fmt.Errorf("read: %w", err)
		case answer != nil:
			go s.read(ctx, in, end)
		}
		if answer != nil {
			answer()
		}
		if err != nil || answer != nil {
			return
		}
	}
}

// maxBusy is how many requests may be worked on or wait to be written before no
// more are read: a client that does not read is not served into memory. Calls
// that wait for a process do not count.
const maxBusy = 64

func (s *Stdio) awaitRoom() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.busy >= maxBusy && !s.ended {
		if s.testHookFull != nil {
			s.testHookFull()
		}
		s.room.Wait()
	}
}

// dispatch takes a message and returns what answers it. A request may wait, to be
// done or to be read by the client; a notification is quick and has no answer.
func (s *Stdio) dispatch(ctx context.Context, line []byte) (answer func()) {
	number := s.requests.number()
	m, bad := parse(line, number)
	switch {
	case bad != nil:
		return s.refuse(bad)
	case m.method == cancelled:
		s.requests.cancel(connection, m.cancels)
	case !m.isRequest():
		s.Server.HandleMessage(ctx, m.text) // a notification, or an answer to nothing
	default:
		if m.tool != nil && s.OnCall != nil {
			s.OnCall()
			s.OnCall = nil
		}
		ctx, cancel := context.WithCancel(ctx)
		q := &request{id: m.id, owner: connection, cancel: cancel}
		q.slot.Hold, q.slot.Waiting = true, s.waiting
		s.order(&m, &q.slot)
		return s.run(number, q, func() []byte {
			ctx := tools.WithSlot(tools.WithNotify(m.context(ctx), s.notify(number)), &q.slot)
			response := s.handle(ctx, &m)
			text, err := s.encoder.answer(q.id, response, &q.slot)
			if err != nil {
				s.Log.Error("cannot encode an answer", "error", err)
				return encodeError(q.id, mcp.INTERNAL_ERROR, "something went wrong inside the server")
			}
			return text
		})
	}
	return nil
}

// order has the input of a process written as it was read, whichever call is served
// first.
func (s *Stdio) order(m *message, slot *tools.Slot) {
	var in struct {
		ID string `json:"process_id"`
	}
	if string(m.tool) != `"process_input"` || json.Unmarshal(m.arguments, &in) != nil {
		return
	}
	written := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	slot.Before, s.inputs[in.ID] = s.inputs[in.ID], written
	slot.Written = sync.OnceFunc(func() {
		close(written)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.inputs[in.ID] == written {
			delete(s.inputs, in.ID)
		}
	})
}

// inputOver lets the input of after go on, once that of before is written: a call may
// have been refused before its turn came.
func inputOver(slot *tools.Slot) {
	if slot.Written == nil {
		return
	}
	if slot.Before != nil {
		<-slot.Before
	}
	slot.Written()
}

// handle gives a message to the MCP server. A tool call of the old era goes to
// its tool at once: the server would decode it five times on the way, which is
// most of what a quick call costs.
func (s *Stdio) handle(ctx context.Context, m *message) mcp.JSONRPCMessage {
	var r mcp.CallToolRequest
	if m.tool == nil || m.modern || json.Unmarshal(m.tool, &r.Params.Name) != nil {
		return s.Server.HandleMessage(ctx, m.text)
	}
	tool := s.Server.GetTool(r.Params.Name)
	if tool == nil || m.meta != nil && json.Unmarshal(m.meta, &r.Params.Meta) != nil {
		return s.Server.HandleMessage(ctx, m.text)
	}
	r.Params.RawArguments = m.arguments
	result, err := tool.Handler(ctx, r)
	if err != nil {
		s.Log.Error("a tool failed", "tool", r.Params.Name, "error", err)
		return nil
	}
	return mcp.JSONRPCResponse{Result: result}
}

// refuse answers a message that is none.
func (s *Stdio) refuse(bad *protocolError) func() {
	return s.run(s.requests.number(), &request{id: bad.id, cancel: func() {}}, bad.encode)
}

// run returns what answers a request with what answer returns, unless it is
// cancelled before; nil if it is too late for that.
func (s *Stdio) run(number uint64, q *request, answer func() []byte) func() {
	if !s.requests.begin(number, q) {
		return nil
	}
	s.busyBy(1)
	return func() {
		defer inputOver(&q.slot)
		defer s.busyBy(-1)
		defer s.requests.finish(number)
		defer func() {
			if p := recover(); p != nil { // tools recover by themselves: it is the library's
				s.Log.Error("panic while answering", "panic", p, "stack", string(debug.Stack()))
				s.write(encodeError(q.id, mcp.INTERNAL_ERROR, "something went wrong inside the server"), nil)
			}
		}()
		if text := answer(); s.requests.answer(number) != nil {
			s.write(text, nil)
		}
		if q.slot.Leave != nil {
			q.slot.Leave()
		}
	}
}

// waiting is told when a call begins and ends to wait for a process.
func (s *Stdio) waiting(begins bool) {
	if begins {
		s.busyBy(-1)
	} else {
		s.busyBy(1)
	}
}

func (s *Stdio) busyBy(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy += n
	s.room.Signal()
}

// notify returns how to notify the client of a request. Nothing is written
// behind its answer.
func (s *Stdio) notify(number uint64) tools.Notify {
	return func(method string, params map[string]any) {
		text, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "method": method, "params": params})
		if err != nil {
			s.Log.Error("cannot encode a notification", "error", err)
			return
		}
		s.write(text, func() bool { return s.requests.active(number) != nil })
	}
}

// write writes one message, if still is nil or true by then.
func (s *Stdio) write(text []byte, still func() bool) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if still != nil && !still() {
		return
	}
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
		case io.EOF:
			return errLineTooLong // the next read tells of the end
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
