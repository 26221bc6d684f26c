package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// server is a Proctor that was started to be measured, and the client that talks to
// it. The client takes the time when the line of an answer has arrived, and decodes
// the line later: it measures the server and not itself. The methods may be called
// concurrently.
type server struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	log     *os.File      // the log of the server
	greeted time.Duration // time from the start of the server to the answer with its tools
	ended   chan struct{} // closed when the server has closed its output

	writing sync.Mutex // guards in: one message at a time

	mu      sync.Mutex // guards the fields below
	last    int64      // id of the newest request
	waiting map[int64]chan arrival
}

// arrival is the line of an answer, and when it arrived.
type arrival struct {
	line []byte
	at   time.Time
}

// answer is the answer to a tool call.
type answer struct {
	toolAnswer
	sent, at time.Time // when the call was sent, and when the answer arrived
}

// took returns the time from sending the call to the arrival of the answer.
func (a answer) took() time.Duration { return a.at.Sub(a.sent) }

// toolAnswer holds the fields of structured content that are used here.
type toolAnswer struct {
	ProcessID   string            `json:"process_id"`
	Running     bool              `json:"running"`
	ExitCode    *int              `json:"exit_code"`
	Signal      *string           `json:"signal"`
	Reason      *string           `json:"reason"`
	Descendants *int              `json:"descendants"`
	Output      string            `json:"output"`
	NextCursor  int64             `json:"next_cursor"`
	Processes   []json.RawMessage `json:"processes"`
	KillDomain  string            `json:"kill_domain"`
}

const (
	// greetLimit is how long a server may take to start.
	greetLimit = 10 * time.Second
	// answerLimit is how long an answer may take. Every call waits for less.
	answerLimit = 60 * time.Second
	// endLimit is how long a server may take to end with all its processes: more
	// than the longest --grace.
	endLimit = 64 * time.Second
)

// startServer starts a server and gets the list of its tools.
func startServer(ctx context.Context, argv []string) (*server, error) {
	log, err := os.CreateTemp("", "proctor-bench-*.log")
	if err != nil {
		return nil, err
	}
	s := &server{
		cmd: exec.Command(argv[0], argv[1:]...), log: log,
		ended: make(chan struct{}), waiting: map[int64]chan arrival{},
	}
	// A file, so that this program spends no time on the log.
	s.cmd.Stderr = log
	var out io.Reader
	s.in, err = s.cmd.StdinPipe()
	if err == nil {
		out, err = s.cmd.StdoutPipe()
	}
	begun := time.Now()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		s.removeLog()
		return nil, err
	}
	go s.read(bufio.NewReaderSize(out, 256<<10))
	if err := s.greet(ctx); err != nil {
		return nil, cmp.Or(s.close(), err)
	}
	s.greeted = time.Since(begun)
	return s, nil
}

func (s *server) greet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, greetLimit)
	defer cancel()
	const hello = `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"proctor-bench","version":"1"}}`
	if _, _, err := s.request(ctx, "initialize", hello); err != nil {
		return err
	}
	if err := s.send(`{"jsonrpc":"2.0","method":"notifications/initialized"}` + "\n"); err != nil {
		return err
	}
	_, _, err := s.request(ctx, "tools/list", "{}")
	return err
}

// close ends the server with all its processes. If the server failed, it returns
// an error with the end of the log.
func (s *server) close() error {
	defer s.removeLog()
	s.in.Close()
	timer := time.NewTimer(endLimit)
	defer timer.Stop()
	select {
	case <-s.ended:
	case <-timer.C:
		// An error means that the server has just ended.
		_ = s.cmd.Process.Kill()
	}
	err := s.cmd.Wait()
	if err == nil {
		return nil
	}
	const most = 1 << 10
	text := make([]byte, most)
	end, _ := s.log.Seek(0, io.SeekEnd)
	n, _ := s.log.ReadAt(text, max(0, end-most))
	return fmt.Errorf("the server failed (%w): %s", err, bytes.TrimSpace(text[:n]))
}

func (s *server) removeLog() {
	s.log.Close()
	os.Remove(s.log.Name())
}

// read hands each answer to the request that waits for it, until the server ends.
func (s *server) read(in *bufio.Reader) {
	defer close(s.ended)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		at := time.Now()
		id, ok := answerID(line)
		if !ok {
			continue // a notification
		}
		s.mu.Lock()
		ch := s.waiting[id]
		delete(s.waiting, id)
		s.mu.Unlock()
		if ch != nil {
			ch <- arrival{line, at}
		}
	}
}

// answerID returns the id of an answer. It decodes the line only if the id is not
// where the server writes it.
func answerID(line []byte) (id int64, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte(`{"jsonrpc":"2.0","id":`))
	if ok {
		i := 0
		for ; i < len(rest) && '0' <= rest[i] && rest[i] <= '9'; i++ {
			id = id*10 + int64(rest[i]-'0')
		}
		return id, i > 0
	}
	var message struct{ ID *int64 }
	if json.Unmarshal(line, &message) != nil || message.ID == nil {
		return 0, false
	}
	return *message.ID, true
}

func (s *server) send(message string) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	_, err := io.WriteString(s.in, message)
	return err
}

// errEnded is the error of a request that the server can no longer answer.
var errEnded = errors.New("the server ended before it answered")

// request sends a request and waits for its answer. It also returns when the
// request was sent.
func (s *server) request(ctx context.Context, method, params string) (a arrival, sent time.Time, err error) {
	ch := make(chan arrival, 1)
	s.mu.Lock()
	s.last++
	id := s.last
	s.waiting[id] = ch
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.waiting, id)
		s.mu.Unlock()
	}()
	message := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`+"\n", id, method, params)
	timer := time.NewTimer(answerLimit)
	defer timer.Stop()
	sent = time.Now()
	if err := s.send(message); err != nil {
		return a, sent, errEnded
	}
	select {
	case a = <-ch:
		return a, sent, nil
	case <-s.ended:
		return a, sent, errEnded
	case <-timer.C:
		return a, sent, fmt.Errorf("no answer to %s in %v", method, answerLimit)
	case <-ctx.Done():
		return a, sent, ctx.Err()
	}
}

// call calls a tool in a chat, or without a chat if chat is "". It returns a tool's
// error as an error.
func (s *server) call(ctx context.Context, chat, tool, arguments string) (answer, error) {
	meta := ""
	if chat != "" {
		meta = fmt.Sprintf(`,"_meta":{"coder.com/chat-id":%q}`, chat)
	}
	came, sent, err := s.request(ctx, "tools/call", fmt.Sprintf(`{"name":%q,"arguments":%s%s}`, tool, arguments, meta))
	if err != nil {
		return answer{}, err
	}
	var message struct {
		Error  *struct{ Message string }
		Result struct {
			IsError           bool
			Content           []struct{ Text string }
			StructuredContent toolAnswer
		}
	}
	switch err := json.Unmarshal(came.line, &message); {
	case err != nil:
		return answer{}, err
	case message.Error != nil:
		return answer{}, errors.New(message.Error.Message)
	case message.Result.IsError:
		var text strings.Builder
		for _, c := range message.Result.Content {
			text.WriteString(c.Text)
		}
		return answer{}, fmt.Errorf("%s: %s", tool, &text)
	}
	return answer{message.Result.StructuredContent, sent, came.at}, nil
}

// status returns a number from /proc/PID/status of the server, such as VmRSS in
// KiB. ok is false if there is none.
func (s *server) status(name string) (n int, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, false
	}
	_, after, ok := bytes.Cut(text, []byte("\n"+name+":"))
	if !ok {
		return 0, false
	}
	_, err = fmt.Sscan(string(after), &n)
	return n, err == nil
}
