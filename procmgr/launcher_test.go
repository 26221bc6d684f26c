//go:build linux

package procmgr

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/proctor-mcp/proctor/proctest"
)

// bubblewrap returns a launcher whose sandbox has a pid namespace. bwrap is process 1 in
// it, and another bwrap stays outside.
func bubblewrap(t *testing.T, options ...string) []string {
	t.Helper()
	proctest.Need(t, "bwrap")
	return append(append(strings.Fields("bwrap --dev-bind / / --unshare-pid --proc /proc"), options...), "--")
}

func signal(t *testing.T, m *Manager, p Process, sig Signal) {
	t.Helper()
	if _, err := of(t, m, p).Signal(sig, NoGrace); err != nil {
		t.Fatalf("%s: %v", sig, err)
	}
}

// bwrap passes no signal on, and a signal that it gets ends it. The command would end with
// it before its trap has run.
func TestSignalsPassBubblewrap(t *testing.T) {
	for _, options := range [][]string{nil, {"--die-with-parent"}} {
		m := newManager(t, Options{Launcher: bubblewrap(t, options...)})
		p := sh(t, m, `trap 'echo interrupted' INT; trap 'echo hung up' HUP; trap 'echo user1' USR1; trap 'echo cleaning; sleep 0.1; echo cleaned; exit 7' TERM; echo ready; while :; do sleep 0.01; done`)
		awaitOutput(t, m, p, "ready")
		for sig, text := range map[Signal]string{SignalInterrupt: "interrupted", SignalHangup: "hung up", SignalUser1: "user1"} {
			signal(t, m, p, sig)
			awaitOutput(t, m, p, text)
		}
		signal(t, m, p, SignalTerminate)
		p, out := wait(t, m, p)
		if p.Exit.Code != 7 || p.Exit.Reason != ReasonRequested || !strings.HasSuffix(out, "cleaning\ncleaned\n") {
			t.Errorf("%v: got %+v, %q", options, p.Exit, out)
		}
		if p, _ := wait(t, m, sh(t, m, "kill -9 $$")); p.Exit.Code != 128+9 {
			t.Errorf("killed inside: got %+v", p.Exit)
		}
	}
}

// A sandbox ends with its command, and does not count as a descendant.
func TestBubblewrapLeavesNothing(t *testing.T) {
	m := newManager(t, Options{Launcher: bubblewrap(t, "--die-with-parent")})
	for range 20 {
		p, _ := wait(t, m, sh(t, m, "ls | wc -l"))
		if p.Descendants != 0 && proctest.Bounds() { // the exit waits for the sandbox only for a moment
			t.Errorf("%d descendants", p.Descendants)
		}
		if p = waitGone(t, m, p); p.Descendants != 0 {
			t.Errorf("%d descendants in the end", p.Descendants)
		}
	}
}

func TestBubblewrapIsSuspended(t *testing.T) {
	m := newManager(t, Options{Launcher: bubblewrap(t, "--die-with-parent"), Dir: t.TempDir})
	p := sh(t, m, `echo ready; while [ ! -e go ]; do sleep 0.01; done; echo went on; exit 7`)
	awaitOutput(t, m, p, "ready")
	signal(t, m, p, SignalStop)
	suspended := func() bool { return of(t, m, p).Snapshot().Suspended }
	proctest.Within(t, "suspended", suspended)
	if err := os.WriteFile(p.Dir+"/go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	signal(t, m, p, SignalContinue)
	if p, out := wait(t, m, p); out != "ready\nwent on\n" || p.Exit.Code != 7 || p.Suspended {
		t.Errorf("got %q, %+v", out, p)
	}
}

func TestADaemonInBubblewrapIsCountedAndKilled(t *testing.T) {
	if host.KillDomain() == "process_group" {
		t.Skip("the process group does not hold it")
	}
	m := newManager(t, Options{Launcher: bubblewrap(t)})
	command, token := proctest.Sleeper()
	p, _ := wait(t, m, sh(t, m, "(setsid "+command+" >/dev/null 2>&1 &); exit 3"))
	if p.Exit.Code != 3 || p.Descendants < 1 {
		t.Errorf("got %+v", p)
	}
	signal(t, m, p, SignalKill)
	if err := of(t, m, p).WaitGone(t.Context()); err != nil || len(proctest.Sleepers(token)) != 0 {
		t.Errorf("%v, %d live", err, len(proctest.Sleepers(token)))
	}
}

// The launcher of a start is used instead of the manager's, and is found in the PATH of
// the server.
func TestLauncherOfAStart(t *testing.T) {
	m := newManager(t, Options{Launcher: []string{"env", "BY=manager"}})
	for _, c := range []struct {
		launcher []string
		want     string
	}{{nil, "manager\n"}, {[]string{}, "\n"}, {[]string{"nice", "env", "BY=start"}, "start\n"}} {
		for _, spec := range []Spec{{Command: `echo "$BY"`}, {Argv: []string{"/bin/sh", "-c", `echo "$BY"`}, Env: map[string]string{"PATH": "/nowhere"}}} {
			if spec.Argv != nil && c.launcher != nil {
				continue // what nice looks up is not the server's to find
			}
			spec.Launcher = c.launcher
			if _, out := wait(t, m, start(t, m, Chat("c"), spec)); out != c.want {
				t.Errorf("%q: got %q", c.launcher, out)
			}
		}
	}
	start(t, m, Chat("c"), Spec{Command: ":", RequestID: "once", Launcher: []string{}})
	if _, err := m.In(Chat("c")).Start(t.Context(), Spec{Command: ":", RequestID: "once"}); !errors.Is(err, ErrRequestConflict) {
		t.Errorf("another launcher is other input: got %v", err)
	}
	p := start(t, m, Chat("c"), Spec{Command: `trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done`, Launcher: []string{"nice"}})
	awaitOutput(t, m, p, "ready")
	signal(t, m, p, SignalTerminate)
	if p, _ = wait(t, m, p); p.Exit.Code != 7 {
		t.Errorf("got %+v", p.Exit)
	}
}

// At the other end of ssh, a shell reads the command once more.
func TestSSH(t *testing.T) {
	m := newManager(t, Options{Launcher: append([]string{"ssh"}, proctest.SSHD(t)...)})
	text := "two  blanks\n'single' \"double\" \\ `tick` $HOME #! ~ * \xff ü\r\ttab; | & > /dev/null\n"
	p, out := wait(t, m, start(t, m, Chat("team/c"), Spec{
		Command: "printf %s " + "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" + `; echo "$CODER_CHAT_ID $PROCTOR_PROCESS_ID $GIVEN"; cat; exit 7`,
		Env:     map[string]string{"GIVEN": "it's $here", "CODER_CHAT_ID": "forged", "-i": "no option"},
		Stdin:   []byte("input"),
	}))
	want := strings.ToValidUTF8(text, "\ufffd") + "team/c " + p.ID + " it's $here\ninput"
	if out != want || p.Exit.Code != 7 || p.Remote != "ssh" || p.Descendants != Unknown {
		t.Errorf("got  %q\nwant %q\n%+v", out, want, p)
	}
	if _, out := wait(t, m, sh(t, m, "#comment")); out != "" {
		t.Errorf("a command that begins with #: got %q", out)
	}

	var refused *RemoteError
	if _, err := m.In(Chat("c")).Start(t.Context(), Spec{Command: ":", Dir: "/"}); !errors.As(err, &refused) || refused.Field != "workdir" {
		t.Errorf("got %v", err)
	}
	p = sh(t, m, "while echo tick; do sleep 0.05; done") // it ends when nobody listens
	awaitOutput(t, m, p, "tick")
	if ports, err := of(t, m, p).Ports(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got ports %v, %v", ports, err)
	}
	if _, err := of(t, m, p).Signal(SignalUser1, NoGrace); !errors.As(err, &refused) || refused.Field != "signal" || refused.Got != "user1" {
		t.Errorf("got %v", err)
	}
	signal(t, m, p, SignalTerminate)
	if p, _ = wait(t, m, p); p.Exit.Reason != ReasonRequested || p.Descendants != Unknown {
		t.Errorf("got %+v", p)
	}
}

func TestRemoteLaunchers(t *testing.T) {
	for line, want := range map[string]string{
		"":                               "",
		"bwrap --":                       "",
		"setpriv --reuid x":              "",
		"/usr/bin/ssh host":              "ssh",
		"docker exec -i c":               "docker",
		"podman exec -i c":               "podman",
		"nerdctl exec -i c":              "nerdctl",
		"kubectl exec -i p --":           "kubectl",
		"machinectl shell c":             "machinectl",
		"systemd-run --pipe --wait":      "systemd-run",
		"systemd-run --scope --user -- ": "",
		"./docker":                       "docker",
		"nice ssh host":                  "",
	} {
		if got := RemoteLauncher(strings.Fields(line)); got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
}
