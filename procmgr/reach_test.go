//go:build linux

package procmgr

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/proctor-mcp/proctor/proctest"
)

// Without spawn.Setup the kill domain is the process group. A descendant that has left it
// lives on; a kill and Close both report that this may be so.
func TestReachOfAProcessGroup(t *testing.T) {
	m := New(Options{Env: EnvOptions{Inherit: os.Environ()}})
	want := Reach{KillDomainProcessGroup, true}
	p := sh(t, m, `setsid sh -c 'echo "$$."; exec sleep 100' & echo; exec sleep 100`)
	out := awaitOutput(t, m, p, ".")
	escaped, err := strconv.Atoi(strings.Trim(out, ".\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(escaped, syscall.SIGKILL)
	if reach, err := of(t, m, p).Signal(SignalKill, NoGrace); err != nil || reach != want {
		t.Errorf("kill: got %+v, %v", reach, err)
	}
	waitGone(t, m, p)
	if reach, err := m.Close(t.Context()); err != nil || reach != want {
		t.Errorf("close: got %+v, %v", reach, err)
	}
	if !proctest.Alive(escaped) {
		t.Error("the descendant that left the process group was reached")
	}

	unused := New(Options{})
	if reach, err := unused.Close(t.Context()); err != nil || reach != (Reach{KillDomainProcessGroup, false}) {
		t.Errorf("close, with nothing started: got %+v, %v", reach, err)
	}
}

func TestReachOfTheHost(t *testing.T) {
	m := newManager(t, Options{})
	p := sh(t, m, "exec sleep 100")
	domain := host.KillDomain()
	want := Reach{domain, domain == KillDomainProcessGroup}
	if reach, err := of(t, m, p).Signal(SignalKill, NoGrace); err != nil || reach != want {
		t.Errorf("got %+v, %v", reach, err)
	}
}

// A command that a launcher runs elsewhere is out of reach.
func TestReachOfARemoteLauncher(t *testing.T) {
	docker := filepath.Join(t.TempDir(), "docker")
	if err := os.WriteFile(docker, []byte("#!/bin/sh\nexec \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	m := newManager(t, Options{Launcher: []string{docker}})
	p := sh(t, m, "exec sleep 100")
	if reach, err := of(t, m, p).Signal(SignalKill, NoGrace); err != nil || !reach.Escapes {
		t.Errorf("got %+v, %v", reach, err)
	}
}
