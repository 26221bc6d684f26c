//go:build linux

package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/proctor-mcp/proctor/proctest"
)

// limitedServer starts one with limits of the kernel. Where they cannot be had,
// the server must say so by the flag's name and not start, which is the test then.
func limitedServer(t *testing.T, flags ...string) *server {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(binary, append([]string{"call", "process_list"}, flags...)...).CombinedOutput(); err != nil {
		exit, ok := err.(*exec.ExitError)
		if !ok || exit.ExitCode() != exitFailure || !strings.Contains(string(out), flags[0]) {
			t.Errorf("%v, %s", err, out)
		}
		t.Skip("SKIPPED: this user may not write cgroups")
	}
	return launch(t, nil, append([]string{"stdio", "--chat-id", "c"}, flags...)...)
}

func TestAMemoryLimitIsTheReason(t *testing.T) {
	proctest.Need(t, "perl")
	s := limitedServer(t, "--memory-limit", "64MiB")
	neighbour := s.call("process_start", `{"command":"exec sleep 300","background":true}`)
	// vec, for a string that is built by other means takes twice as much.
	r := s.call("process_start", `{"command":"exec perl -e 'vec($x, (200<<20)-1, 8) = 1'"}`)
	if r.Reason == nil || *r.Reason != "memory_limit" || len(r.LimitsReached) != 1 || r.Usage.MaxMemoryBytes < 60<<20 {
		t.Errorf("got %+v", r.Process)
	}
	if p := s.call("process_output", `{"process_id":`+quoted(neighbour.ProcessID)+`,"wait_ms":0}`); !p.Running {
		t.Errorf("the neighbour: %+v", p.Process)
	}
}

func TestAFullChatIsToldWhatToEnd(t *testing.T) {
	s := limitedServer(t, "--pids-limit-per-chat", "3")
	var ids []string
	for range 3 {
		ids = append(ids, s.call("process_start", `{"command":"exec sleep 300","background":true}`).ProcessID)
	}
	_, refusal := s.ask("process_start", `{"command":"true"}`)
	for _, want := range []string{"3 processes and threads", "--pids-limit-per-chat", ids[0], "sleep 300"} {
		if !strings.Contains(refusal, want) {
			t.Errorf("%q does not tell %q", refusal, want)
		}
	}
	s.call("process_signal", `{"process_id":`+quoted(ids[0])+`,"signal":"kill"}`)
	proctest.Await(t, "a start succeeds", func() bool {
		_, refusal := s.ask("process_start", `{"command":"true"}`)
		return refusal == ""
	})
}

func TestLimitsAreRefusedByName(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"--memory-limit=64x", "512MiB"},
		{"--memory-limit=-1", "--memory-limit"},
		{"--memory-limit-per-chat=1023k", "--memory-limit-per-chat is"},
		{"--pids-limit=-1", "--pids-limit is -1"},
		{"--max-running=-1", "--max-running"},
		{"--keep-finished=0", "--keep-finished"},
		{"--memory-limit=1g --launcher=ssh", "--launcher ssh"},
	} {
		if strings.Contains(test.args, "ssh") {
			proctest.Need(t, "ssh")
		}
		var log lines
		code := run(t.Context(), system{args: append([]string{"stdio"}, strings.Fields(test.args)...), stdin: strings.NewReader(""), stdout: &log, stderr: &log})
		if code != exitUsage || !strings.Contains(log.String(), test.want) {
			t.Errorf("%s: exit %d, %s", test.args, code, log.String())
		}
	}
}
