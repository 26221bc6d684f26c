//go:build linux

package transport

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/proctor-mcp/proctor/caller"
	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/proctest"
	"github.com/proctor-mcp/proctor/tools"
)

// newHeldUp returns a server whose starts block between hold and release.
func newHeldUp(t *testing.T) (s *serving, hold, release func()) {
	t.Helper()
	var held atomic.Bool
	released, release := context.WithCancel(context.Background())
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	m := procmgr.New(procmgr.Options{
		Env: procmgr.EnvOptions{Inherit: os.Environ(), Update: func(env []string) ([]string, error) {
			if held.Load() {
				<-released.Done()
			}
			return env, nil
		}},
		Clock: proctest.PatientClock(), Log: log,
	})
	ts := tools.New(tools.Options{Manager: m, Rules: caller.DefaultRules(), Log: log})
	t.Cleanup(func() {
		release()
		if _, err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
		ts.Close()
	})
	return &serving{m, ts, NewServer(ts, "0.0.0-test", log), log}, func() { held.Store(true) }, release
}

// start is a call that starts a process.
func start(id int, chat string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"process_start","arguments":{"command":"true"},"_meta":{"coder.com/chat-id":%q}}}`, id, chat) + "\n"
}

// Calls of one chat do not keep those of another from being read: on the same pipe, the
// other chat is answered while 1,500 earlier calls wait for their turn.
func TestAFloodOfOneChatDelaysNoOther(t *testing.T) {
	s, hold, _ := newHeldUp(t)
	hold()
	in, out, _ := s.stdio(t, caller.Identity{Token: "stdio"})
	go func() {
		for i := range 1500 {
			io.WriteString(in, start(1000+i, "flood"))
		}
		io.WriteString(in, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"process_list","arguments":{},"_meta":{"coder.com/chat-id":"other"}}}`+"\n")
	}()
	if id, _ := readAnswer(t, out); id != 1 {
		t.Errorf("call %d is answered first", id)
	}
}

// A signal that its client cancels before its turn is delivered nevertheless, on every
// transport.
func TestACancelledSignalIsDelivered(t *testing.T) {
	for name, deliver := range map[string]func(t *testing.T, s *serving, call string){
		"stdio": func(t *testing.T, s *serving, call string) {
			in, _, _ := s.stdio(t, caller.Identity{Token: "stdio", DefaultChat: "transcript"})
			for i := range 64 { // more than can have a turn
				send(t, in, start(1000+i, "transcript"))
			}
			send(t, in, call+`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`+"\n")
		},
		"http": func(t *testing.T, s *serving, call string) {
			address := strings.TrimPrefix(s.http(t, nil), "http://")
			post := func(message string) net.Conn {
				c, err := net.Dial("tcp", address)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(c, "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\nCoder-Chat-Id: transcript\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", secret, len(message), message)
				return c
			}
			for i := range 64 {
				defer post(start(1000+i, "transcript")).Close()
			}
			proctest.Within(t, "the starts to wait", func() bool { return s.tools.Calls() == 64 })
			c := post(call)
			proctest.Within(t, "the signal to wait", func() bool { return s.tools.Calls() == 65 })
			c.Close()
		},
		"sse": func(t *testing.T, s *serving, call string) {
			c := &http.Client{Transport: &http.Transport{}}
			defer c.CloseIdleConnections()
			_, endpoint := openSSE(t, c, s.http(t, nil))
			for i := range 64 {
				post(t, c, endpoint, start(1000+i, "transcript")).Body.Close()
			}
			post(t, c, endpoint, call).Body.Close()
			post(t, c, endpoint, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`).Body.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, hold, release := newHeldUp(t)
			started, err := s.manager.In(procmgr.Chat("transcript")).Start(t.Context(), procmgr.Spec{Command: "exec sleep 100"})
			if err != nil {
				t.Fatal(err)
			}
			hold()
			deliver(t, s, callMessage(1, "process_signal", `{"process_id":"`+started.ID()+`","signal":"kill"}`))
			release()
			// If the signal is lost, this never returns.
			if err := started.Wait(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
