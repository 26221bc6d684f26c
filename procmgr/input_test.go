//go:build linux

package procmgr

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/proctest"
)

func give(t *testing.T, m *Manager, p Process, in Input) {
	t.Helper()
	if _, n, err := of(t, m, p).Input(t.Context(), in); err != nil || n != len(in.Text) {
		t.Fatalf("%d of %d bytes taken, %v", n, len(in.Text), err)
	}
}

// waitsFor waits until it is as sure as wanted that a process waits for input.
func waitsFor(t *testing.T, m *Manager, p Process, want InputWait) {
	t.Helper()
	proctest.Await(t, fmt.Sprintf("%s waits for input: %q", p.Command, want), func() bool {
		return of(t, m, p).Snapshot().WaitsForInput == want
	})
}

func TestInputByPipe(t *testing.T) {
	proctest.Need(t, "python3", "bash")
	m := newManager(t, Options{})
	chat := Chat("a")
	p := start(t, m, chat, Spec{Command: "sort", KeepStdin: true, Stdin: []byte("b\n")})
	give(t, m, p, Input{Text: []byte("c\n")})
	waitsFor(t, m, p, InputCertain)
	give(t, m, p, Input{Text: []byte("a\n")})
	give(t, m, p, Input{EOF: true})
	if p, out := wait(t, m, p); out != "a\nb\nc\n" || p.Exit.Code != 0 {
		t.Errorf("got %q, %+v", out, p.Exit)
	}
	if _, _, err := of(t, m, p).Input(t.Context(), Input{Text: []byte("d")}); !errors.Is(err, ErrNotRunning) {
		t.Errorf("got %v", err)
	}

	// A pipe from another program is not what it waits for; the one before does.
	p = start(t, m, chat, Spec{Command: "sleep 100 | cat", KeepStdin: true})
	if p := of(t, m, p).Snapshot(); p.WaitsForInput != "" {
		t.Errorf("got %q", p.WaitsForInput)
	}
	p = start(t, m, chat, Spec{Command: "cat | cat", KeepStdin: true})
	waitsFor(t, m, p, InputCertain)
	// By whatever number it has the pipe.
	p = start(t, m, chat, Spec{Command: `python3 -c "import os; os.read(os.dup(0), 1)"`, KeepStdin: true})
	waitsFor(t, m, p, InputCertain)
	// In whatever group it is, and whatever cannot be looked at stands beside it.
	p = start(t, m, chat, Spec{Command: "timeout 6000 cat", KeepStdin: true})
	waitsFor(t, m, p, InputCertain)
	p = start(t, m, chat, Spec{Command: `exec python3 -c 'import ctypes, subprocess; ctypes.CDLL(None).prctl(4, 0); subprocess.run(["cat"])'`, KeepStdin: true})
	waitsFor(t, m, p, InputCertain)
	// One that polls is seen again after it was stopped.
	p = start(t, m, chat, Spec{Command: `exec python3 -c 'import select; p = select.poll(); p.register(0, 1); p.poll()'`, KeepStdin: true})
	waitsFor(t, m, p, InputLikely)
	for _, sig := range []Signal{SignalStop, SignalContinue} {
		if _, err := of(t, m, p).Signal(sig, NoGrace); err != nil {
			t.Fatal(err)
		}
		if sig == SignalStop {
			waitsFor(t, m, p, "")
		}
	}
	waitsFor(t, m, p, InputLikely)
	// A question.
	p = start(t, m, chat, Spec{Command: `bash -c 'read -p "Go on? " x; echo got $x'`, KeepStdin: true})
	waitsFor(t, m, p, InputCertain)
	give(t, m, p, Input{Text: []byte("yes\n")})
	if _, out := wait(t, m, p); !strings.Contains(out, "got yes") {
		t.Errorf("got %q", out)
	}
}

// Input that a process does not take ends with the caller's context, and what was taken is
// counted.
func TestInputThatIsNotTaken(t *testing.T) {
	m := newManager(t, Options{})
	chat := Chat("a")
	p := start(t, m, chat, Spec{Command: "exec sleep 100", KeepStdin: true})
	pipe, err := os.Open(fmt.Sprintf("/proc/%d/fd/0", pidOf(t, m, p)))
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	held := func() (n int) {
		n, err := unix.IoctlGetInt(int(pipe.Fd()), unix.TIOCINQ)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	size, err := unix.FcntlInt(pipe.Fd(), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if _, n, err := of(t, m, p).Input(ctx, Input{Text: make([]byte, MaxInputBytes)}); !errors.Is(err, ErrInputFull) || n != size {
			t.Errorf("%d bytes taken, %v", n, err)
		}
	})
	proctest.Await(t, "the pipe is full", func() bool { return held() == size })
	cancel()
	waiting.Wait()
	ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond) // clock: what a caller wants to wait
	defer cancel()
	if _, n, err := of(t, m, p).Input(ctx, Input{Text: []byte("x")}); !errors.Is(err, ErrInputFull) || n != 0 {
		t.Errorf("%d bytes taken, %v", n, err)
	}
	// It is closed by the reader, by EOF, and was never there.
	p = start(t, m, chat, Spec{Command: "exec <&-; echo closed; exec sleep 100", KeepStdin: true})
	awaitOutput(t, m, p, "closed")
	if _, _, err := of(t, m, p).Input(t.Context(), Input{Text: []byte("x")}); !errors.Is(err, ErrInputClosed) {
		t.Errorf("got %v", err)
	}
	p = start(t, m, chat, Spec{Command: "cat; exec sleep 100", KeepStdin: true})
	give(t, m, p, Input{Text: []byte("x"), EOF: true})
	if _, _, err := of(t, m, p).Input(t.Context(), Input{Text: []byte("x")}); !errors.Is(err, ErrInputClosed) {
		t.Errorf("got %v", err)
	}
	p = start(t, m, chat, Spec{Command: "exec sleep 100"})
	if _, _, err := of(t, m, p).Input(t.Context(), Input{Text: []byte("x")}); !errors.Is(err, ErrNoInput) {
		t.Errorf("got %v", err)
	}
	p = start(t, m, chat, Spec{Command: "exec cat", KeepStdin: true})
	if _, _, err := of(t, m, p).Input(t.Context(), Input{Size: Size{Rows: 24, Cols: 80}}); !errors.Is(err, ErrNoTerminal) {
		t.Errorf("got %v", err)
	}
	for _, spec := range []Spec{{Command: "x", TTY: Size{Rows: 24}}, {Command: "x", TTY: Size{Rows: 1000, Cols: 80}}, {Command: "x", TTY: Size{Rows: 24, Cols: 80}, Split: true}} {
		var invalid *InputError
		if _, err := m.In(chat).Start(t.Context(), spec); !errors.As(err, &invalid) {
			t.Errorf("got %v", err)
		}
	}
}

func TestTerminal(t *testing.T) {
	proctest.Need(t, "python3", "bash", "dash")
	m := newManager(t, Options{Env: EnvOptions{Inherit: append(os.Environ(), "COLUMNS=7", "LINES=7", "EDITOR=vi")}})
	chat := Chat("a")
	p := start(t, m, chat, Spec{Command: `tty; stty size; echo "$TERM/$EDITOR/$COLUMNS/$GIT_TERMINAL_PROMPT"; read x </dev/tty; echo "got $x"; stty size; exit 3`, TTY: Size{Rows: 24, Cols: 80}})
	if out := awaitOutput(t, m, p, "xterm-256color/vi//0"); !strings.Contains(out, "/dev/pts/") || !strings.Contains(out, "24 80") {
		t.Errorf("got %q", out)
	}
	waitsFor(t, m, p, InputCertain)
	give(t, m, p, Input{Size: Size{Rows: 50, Cols: 132}, Text: []byte("hello\r")})
	if p, out := wait(t, m, p); !strings.Contains(out, "got hello\r\n50 132") || p.Exit.Code != 3 || len(p.Sizes) != 2 {
		t.Errorf("got %q, %+v", out, p.Exit)
	}
	// Control characters are signals, and the end of file is typed.
	p = start(t, m, chat, Spec{Command: `trap 'echo interrupted' INT; echo up; cat; echo end`, TTY: Size{Rows: 24, Cols: 80}})
	awaitOutput(t, m, p, "up")
	waitsFor(t, m, p, InputCertain)
	give(t, m, p, Input{Text: []byte{3}})
	awaitOutput(t, m, p, "interrupted")
	if p, _ = wait(t, m, p); p.Exit.Code != 0 {
		t.Errorf("got %+v", p.Exit)
	}
	p = start(t, m, chat, Spec{Command: "exec cat", TTY: Size{Rows: 24, Cols: 80}})
	waitsFor(t, m, p, InputCertain)
	give(t, m, p, Input{Text: []byte("half"), EOF: true})
	if p, out := wait(t, m, p); out != "halfhalf" || p.Exit.Code != 0 {
		t.Errorf("got %q, %+v", out, p.Exit)
	}
	// One reader is ended, not the one behind it as well.
	p = start(t, m, chat, Spec{Command: "PS1='one> ' dash -i; echo over", TTY: Size{Rows: 24, Cols: 80}})
	awaitOutput(t, m, p, "one> ")
	give(t, m, p, Input{Text: []byte("PS1='t''wo> ' dash -i\n")})
	awaitOutput(t, m, p, "two> ")
	give(t, m, p, Input{Text: []byte{3}})
	awaitOutput(t, m, p, "^C\r\ntwo> ") // what it reads before that, it forgets
	waitsFor(t, m, p, InputCertain)
	give(t, m, p, Input{EOF: true})
	give(t, m, p, Input{Text: []byte("echo still $((40+2))\n")})
	awaitOutput(t, m, p, "still 42")
	long := Input{Text: bytes.Repeat([]byte("x"), 5000)}
	if _, n, err := of(t, m, p).Input(t.Context(), long); !errors.Is(err, ErrInputLine) || n != 0 {
		t.Errorf("%d bytes taken, %v", n, err)
	}
	give(t, m, p, Input{EOF: true})
	awaitOutput(t, m, p, "over")
	// What is stopped does not read.
	p = start(t, m, chat, Spec{Command: `exec python3 -c "import os; os.read(0,1)"`, KeepStdin: true})
	waitsFor(t, m, p, InputCertain)
	if _, err := of(t, m, p).Signal(SignalStop, NoGrace); err != nil {
		t.Fatal(err)
	}
	waitsFor(t, m, p, "")
	// A shell ignores SIGTERM, and obeys when it is hung up.
	p = start(t, m, chat, Spec{Command: "exec bash --norc -i", TTY: Size{Rows: 24, Cols: 80}})
	waitsFor(t, m, p, InputLikely)
	if _, err := of(t, m, p).Signal(SignalTerminate, NoGrace); err != nil {
		t.Fatal(err)
	}
	if p, _ = wait(t, m, p); p.Exit.Reason != ReasonRequested {
		t.Errorf("got %+v", p.Exit)
	}
}

// Nothing is left of many terminals that were opened and closed.
func TestManyTerminals(t *testing.T) {
	m := newManager(t, Options{KeepFinished: 1000})
	chat := Chat("a")
	warm := start(t, m, chat, Spec{Command: "true", TTY: Size{Rows: 24, Cols: 80}})
	wait(t, m, warm)
	before := measure(t).descriptors
	const many = 200
	var all []Process
	for range many {
		all = append(all, start(t, m, chat, Spec{Command: "exec cat", TTY: Size{Rows: 24, Cols: 80}}))
	}
	for _, p := range all {
		give(t, m, p, Input{Text: []byte("there\r")})
	}
	for _, p := range all {
		awaitOutput(t, m, p, "there\r\nthere\r\n")
	}
	for i, p := range all {
		switch i % 3 {
		case 0:
			give(t, m, p, Input{EOF: true})
		case 1:
			give(t, m, p, Input{Text: []byte{3}})
		default:
			if _, err := of(t, m, p).Signal(SignalKill, NoGrace); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, p := range all {
		wait(t, m, p)
	}
	const spare = 32 // cgroups that wait for the next start, each with one
	proctest.Within(t, "the descriptors are back", func() bool { return measure(t).descriptors <= before+spare })
}

var stateRounds = flag.Int("states", 1, "how often TestWhoWaitsForInput runs each program")

// Programs are brought into known states, in which they wait for input or do not. Each
// state is then looked at many times, and must always be seen.
func TestWhoWaitsForInput(t *testing.T) {
	proctest.Need(t, "python3", "bash", "less", "vim")
	m := newManager(t, Options{})
	chat := Chat("a")
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, bytes.Repeat([]byte("line\n"), 500), 0o600); err != nil {
		t.Fatal(err)
	}
	tty := Size{Rows: 24, Cols: 80}
	programs := []struct {
		name  string
		spec  Spec
		shown string // in the output when it is in its state
		want  InputWait
	}{
		{"cat", Spec{Command: "echo up; exec cat", KeepStdin: true}, "up", InputCertain},
		{"a question", Spec{Command: `echo up; read x`, KeepStdin: true}, "up", InputCertain},
		{"a question in a terminal", Spec{Command: `echo up; read x`, TTY: tty}, "up", InputCertain},
		{"less", Spec{Command: "less text", TTY: tty}, "line", InputCertain},
		{"a password", Spec{Command: `python3 -c 'import getpass; getpass.getpass()'`, TTY: tty}, "Password:", InputCertain},
		{"python", Spec{Command: "python3 -q", TTY: tty}, ">>>", InputLikely},
		{"bash", Spec{Command: "export PS1='here> '; exec bash --norc -i", TTY: tty}, "here>", InputLikely},
		{"vim", Spec{Command: "vim -u NONE -i NONE -n text", TTY: tty}, "line", InputLikely},
		{"sleep", Spec{Command: "echo up; exec sleep 100", KeepStdin: true}, "up", ""},
		{"a pipe from another", Spec{Command: "echo up; sleep 100 | cat", KeepStdin: true}, "up", ""},
		{"busy", Spec{Command: "echo up; while :; do :; done", TTY: tty}, "up", ""},
		{"tail", Spec{Command: "tail -f text", KeepStdin: true}, "line", ""},
		{"a server", Spec{Command: "python3 -u -m http.server --bind 127.0.0.1 0", TTY: tty}, "Serving", ""},
		{"a job in the background", Spec{Command: "echo up; cat & exec sleep 100", TTY: tty}, "up", ""},
	}
	wrong := map[InputWait]int{}
	for range *stateRounds {
		var all []Process
		for _, program := range programs {
			program.spec.Dir = dir
			p := start(t, m, chat, program.spec)
			awaitOutput(t, m, p, program.shown)
			all = append(all, p)
		}
		// Those that are to wait come last: they have to be idle for a while first.
		for i, program := range programs {
			if program.want != "" {
				waitsFor(t, m, all[i], program.want)
			}
		}
		for i, program := range programs {
			for range 5 {
				if got := of(t, m, all[i]).Snapshot().WaitsForInput; got != program.want {
					wrong[got]++
					t.Errorf("%s: it waits for input: %q, want %q", program.name, got, program.want)
					break
				}
			}
			if _, err := of(t, m, all[i]).Signal(SignalKill, NoGrace); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d runs of %d programs: certain wrong in %d, likely in %d, none in %d",
		*stateRounds*len(programs), len(programs), wrong[InputCertain], wrong[InputLikely], wrong[""])
}
