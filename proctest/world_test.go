//go:build linux

package proctest

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "block" { // starts the rest of the line with blocked signals
		runtime.LockOSThread()
		if err := unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{Val: [16]uint64{1<<(unix.SIGTERM-1) | 1<<(unix.SIGUSR1-1)}}, nil); err != nil {
			panic(err)
		}
		panic(unix.Exec(os.Args[2], os.Args[2:], os.Environ()))
	}
	Main(m, nil)
}

// What the tests start sees nothing of who started the tests.
func TestOwnWorld(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `trap "" HUP INT QUIT TERM TSTP USR1; umask 0077; exec "$0" block "$0" -test.run='^TestSeen$' -test.v`, self)
	cmd.Env = append(os.Environ(), "CODER_CHAT_ID=c", "XDG_STATE_HOME=/x", "HOME=/x", "CLAUDE_CODE_SESSION_ID=s", "http_proxy=x", "SEEN=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestSeen") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestSeen is run by TestOwnWorld.
func TestSeen(t *testing.T) {
	text := ""
	for _, command := range [][]string{{"sh", "-c", "umask"}, {"env"}, {"cat", "/proc/self/status"}} { // dash unblocks signals
		out, err := exec.Command(command[0], command[1:]...).Output()
		if err != nil {
			t.Fatal(err)
		}
		text += string(out)
	}
	for _, want := range []string{"0022\n", "proctor-test-home-", "\nLC_ALL=C.UTF-8\n", "\nSigIgn:\t0000000000000000\n", "\nSigBlk:\t0000000000000000\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("a child does not see %q: %s", want, text)
		}
	}
	for _, foreign := range []string{"CODER_CHAT_ID", "XDG_", "CLAUDE", "http_proxy", "SEEN"} {
		if strings.Contains(text, foreign) {
			t.Errorf("a child sees %q: %s", foreign, text)
		}
	}
}

// A cue that was given before anybody reads it releases readers as well.
func TestCueReleasesEveryReader(t *testing.T) {
	cue, give := Cue(t)
	early := exec.Command("sh", "-c", "read x < "+cue)
	if err := early.Start(); err != nil {
		t.Fatal(err)
	}
	give()
	if err := early.Wait(); err != nil {
		t.Error(err)
	}
	for range 3 {
		if err := exec.Command("sh", "-c", "read x < "+cue).Run(); err != nil {
			t.Error(err)
		}
	}
}

func TestAwaitEndSeesTheEndOfAnyProcess(t *testing.T) {
	cue, give := Cue(t)
	// A grandchild, which is nobody's child here.
	out, err := exec.Command("sh", "-c", "(read x < "+cue+") >/dev/null 2>&1 & echo $!").Output()
	if err != nil {
		t.Fatal(err)
	}
	pid := 0
	for _, c := range strings.TrimSpace(string(out)) {
		pid = 10*pid + int(c-'0')
	}
	if !Alive(pid) {
		t.Errorf("%d does not live", pid)
	}
	give()
	AwaitEnd(t, pid)
	if Alive(pid) {
		t.Errorf("%d lives", pid)
	}
}
