//go:build linux

package transport

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/proctor-mcp/proctor/caller"
	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/proctest"
)

func callMessage(id int, tool, arguments string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":%s}}`, id, tool, arguments) + "\n"
}

func readAnswer(t *testing.T, out *bufio.Reader) (id int, text string) {
	t.Helper()
	line, err := out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		ID     *int
		Result struct{ Content []struct{ Text string } }
		Error  struct{ Message string }
	}
	if err := json.Unmarshal([]byte(line), &answer); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	if answer.ID != nil {
		id = *answer.ID
	}
	if len(answer.Result.Content) > 0 {
		return id, answer.Result.Content[0].Text
	}
	return id, answer.Error.Message
}

func send(t *testing.T, in io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(in, text); err != nil {
		t.Fatal(err)
	}
}

func TestWaitingCallsDelayNothing(t *testing.T) {
	in, out, _ := newServing(t, t.TempDir(), io.Discard).stdio(t, caller.Identity{Token: "stdio"})
	for i := range 20 {
		send(t, in, callMessage(i, "process_start", `{"command":"exec sleep 100","wait_ms":50000}`))
	}
	send(t, in, callMessage(100, "process_list", `{}`))
	if id, _ := readAnswer(t, out); id != 100 {
		t.Errorf("answer %d came first", id)
	}
}

// Input that a client sends without waiting for answers arrives in the order of the calls,
// also behind a call that is refused.
func TestInputKeepsItsOrder(t *testing.T) {
	s := newServing(t, t.TempDir(), io.Discard)
	in, out, _ := s.stdioWith(t, caller.Identity{Token: "stdio"}, func(*Stdio) {})
	fmt.Fprint(in, callMessage(0, "process_start", `{"command":"exec cat","keep_stdin":true,"background":true}`))
	_, text := readAnswer(t, out)
	_, id, _ := strings.Cut(text, "Process ")
	id, _, _ = strings.Cut(id, ":")
	const calls = 150
	var all, want strings.Builder
	for i := range calls {
		line := fmt.Sprintf("line %d\n", i)
		want.WriteString(line)
		all.WriteString(callMessage(2*i+1, "process_input", fmt.Sprintf(`{"process_id":%q,"text":%q,"wait_for":{"idle_ms":1}}`, id, line)))
		all.WriteString(callMessage(2*i+2, "process_input", fmt.Sprintf(`{"process_id":%q,"keys":["nothing"]}`, id)))
	}
	go func() { _, _ = io.WriteString(in, all.String()) }()
	for range 2 * calls {
		readAnswer(t, out)
	}
	fmt.Fprint(in, callMessage(2*calls+1, "process_input", fmt.Sprintf(`{"process_id":%q,"eof":true,"wait_for":{"output_matches":"never"}}`, id)))
	readAnswer(t, out)
	fmt.Fprint(in, callMessage(2*calls+2, "process_output", fmt.Sprintf(`{"process_id":%q}`, id)))
	if _, text := readAnswer(t, out); !strings.HasSuffix(text, want.String()) {
		t.Errorf("got %s", text)
	}
}

func TestEndOfInputAnswersWaitingCalls(t *testing.T) {
	s := newServing(t, t.TempDir(), io.Discard)
	in, out, end := s.stdio(t, caller.Identity{Token: "stdio", DefaultChat: "c"})
	send(t, in, callMessage(1, "process_start", `{"command":"exec sleep 100","wait_ms":50000}`))
	proctest.Within(t, "the process to run", func() bool {
		list, _ := s.manager.In(procmgr.Chat("c")).List(procmgr.FilterRunning, 1)
		return len(list) == 1
	})
	if err := end(); err != nil {
		t.Error(err)
	}
	if id, text := readAnswer(t, out); id != 1 || !strings.Contains(text, "running") {
		t.Errorf("got %d %q", id, text)
	}
}

func TestBadLinesKeepTheStreamInStep(t *testing.T) {
	in, out, _ := newServing(t, t.TempDir(), io.Discard).stdio(t, caller.Identity{Token: "stdio"})
	go func() {
		io.WriteString(in, "no json\n\n\r\n[]\n")
		io.WriteString(in, strings.Repeat("x", MaxLineBytes+1)+"\n")
		io.WriteString(in, strings.Repeat("y", MaxLineBytes/2)+"\n")
		io.WriteString(in, callMessage(7, "process_list", `{}`))
	}()
	var got []string
	for range 5 {
		_, text := readAnswer(t, out)
		got = append(got, strings.ToLower(text))
	}
	all := strings.Join(got, "|")
	if strings.Count(all, "not valid json") != 2 || !strings.Contains(all, "no batches") || !strings.Contains(all, "longer than 8388608 bytes") || !strings.Contains(all, "no processes") {
		t.Errorf("got %q", got)
	}
}

func TestLastLineNeedsNoEnd(t *testing.T) {
	in, out, end := newServing(t, t.TempDir(), io.Discard).stdio(t, caller.Identity{Token: "stdio"})
	send(t, in, strings.TrimSpace(callMessage(1, "process_list", `{}`)))
	if err := end(); err != nil {
		t.Error(err)
	}
	if id, _ := readAnswer(t, out); id != 1 {
		t.Errorf("got %d", id)
	}
}

func TestClosedOutputEndsTheServer(t *testing.T) {
	s := newServing(t, t.TempDir(), io.Discard)
	inR, inW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer inR.Close()
	defer inW.Close()
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer outW.Close()
	outR.Close()
	send(t, inW, callMessage(1, "process_list", `{}`))
	std := &Stdio{Server: s.server, Log: s.log}
	if err := std.Serve(context.Background(), inR, outW); err == nil || !strings.Contains(err.Error(), "write") {
		t.Errorf("got %v", err)
	}
}

// TestEndWhileCallsArrive ends the server while calls still arrive.
func TestEndWhileCallsArrive(t *testing.T) {
	s := newServing(t, t.TempDir(), io.Discard)
	for range 50 {
		inR, inW, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		pumped := make(chan struct{})
		go func() {
			defer close(pumped)
			for i := 0; ; i++ {
				if _, err := io.WriteString(inW, callMessage(i, "process_list", `{}`)); err != nil {
					return
				}
				if i == 20 {
					cancel()
				}
			}
		}()
		std := &Stdio{Server: s.server, Log: s.log}
		if err := std.Serve(ctx, inR, io.Discard); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		inR.Close()
		<-pumped
		inW.Close()
	}
}

func TestClientThatReadsNothingDoesNotKeepTheServer(t *testing.T) {
	in, out, end := newServing(t, t.TempDir(), io.Discard).stdio(t, caller.Identity{Token: "stdio"})
	for i := range 50 { // more than a pipe holds
		send(t, in, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/list"}`+"\n", i))
	}
	if err := end(); err != nil {
		t.Error(err)
	}
	go io.Copy(io.Discard, out)
}

func TestContextEndsTheServer(t *testing.T) {
	s := newServing(t, t.TempDir(), io.Discard)
	inR, inW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer inR.Close()
	defer inW.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	std := &Stdio{Server: s.server, Log: s.log}
	if err := std.Serve(ctx, inR, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
