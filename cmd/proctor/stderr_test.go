//go:build linux

package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/proctest"
)

// A client that does not read the log delays no call.
func TestCallsGoOnWhenNobodyReadsTheLog(t *testing.T) {
	unread, full, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer unread.Close()
	defer full.Close()
	if _, err := unix.FcntlInt(full.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
		t.Fatal(err)
	}
	s := launchWith(t, func(cmd *exec.Cmd) { cmd.Stderr = full }, nil, "stdio", "--chat-id", "c")
	sleeper, token := proctest.Sleeper()
	defer func() {
		s.in.Close()
		s.noneLeft(token)
	}()
	left := s.call("process_start", `{"command":`+quoted(sleeper)+`,"background":true}`)
	for range 60 { // some 300 bytes of log each
		s.call("process_start", `{"command":"true"}`)
	}
	if r := s.call("process_signal", `{"process_id":`+quoted(left.ProcessID)+`,"signal":"user1"}`); r.ProcessID == "" {
		t.Errorf("got %+v", r)
	}
}

// The log says how many records were dropped. The others come in order.
func TestDroppedLogRecordsAreCounted(t *testing.T) {
	read, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	u := &unhurried{w: w}
	line := strings.Repeat("x", 1023) + "\n"
	for range 3 * maxUnread / len(line) {
		if n, err := u.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	var text strings.Builder
	buffer := make([]byte, 1<<16)
	for !strings.Contains(text.String(), "records were dropped") {
		n, err := read.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(buffer[:n])
	}
	u.flush()
	if kept := strings.Count(text.String(), "x\n"); kept < maxUnread/len(line) {
		t.Errorf("kept %d", kept)
	}
	read.Close()
	w.Close()
}
