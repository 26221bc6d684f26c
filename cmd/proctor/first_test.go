//go:build linux

package main

import (
	"os/exec"
	"strings"
	"testing"
)

// The first command may come before the kill domain was chosen. It is in it all the
// same.
func TestTheFirstCommandIsInTheKillDomain(t *testing.T) {
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	report, err := exec.Command(binary, "doctor", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(report), `"kill_domain": "cgroup"`) {
		t.Skip("there is no kill domain cgroup here")
	}
	out, err := exec.Command(binary, "call", "process_start", `{"command":"cat /proc/self/cgroup","wait_ms":50000}`).Output()
	if err != nil || !strings.Contains(string(out), "/proctor-") {
		t.Errorf("it is in %s %v", out, err)
	}
}
