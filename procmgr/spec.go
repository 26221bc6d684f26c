package procmgr

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	// MaxCommandBytes is the length of the longest argument that Linux passes to a
	// program: MAX_ARG_STRLEN without the final NUL, see execve(2).
	MaxCommandBytes = 131071
	// MaxEnvBytes is the length of the longest NAME=value, for the same reason.
	MaxEnvBytes = MaxCommandBytes
	// MaxStdinBytes is the most input that a process can be given at its start.
	MaxStdinBytes = 1 << 20
	// MaxRows and MaxCols are the size of the largest terminal.
	MaxRows, MaxCols = 120, 300
	// MaxRequestIDBytes is the length of the longest request id.
	MaxRequestIDBytes = 256
)

// Spec is what to start.
type Spec struct {
	// Command is run by the shell: 1 to MaxCommandBytes bytes without NUL.
	Command string
	// Argv is started instead of Command, without a shell. A name without a
	// slash is looked up in the PATH of the process's environment.
	Argv []string
	// Launcher is used instead of Options.Launcher unless it is nil. If it is empty, but
	// not nil, there is no launcher.
	Launcher []string
	// Dir is the working directory, which must exist. A relative one is relative to the
	// directory that would be used without it.
	Dir string
	// Env is added to the environment. A name and its value have at most MaxEnvBytes
	// bytes together, with the = between them.
	Env map[string]string
	// Ambient is added to the environment before Env. It may differ between calls with
	// the same RequestID.
	Ambient map[string]string
	// Stdin is the input, followed by end of file unless more can come. Nil is
	// /dev/null, or no input yet.
	Stdin []byte
	// KeepStdin keeps stdin open, for [Handle.Input].
	KeepStdin bool
	// TTY gives the process a terminal of that size, at most MaxRows and MaxCols, which
	// takes input as well. Zero is no terminal. It cannot go with Split.
	TTY Size
	// Split keeps stdout and stderr apart, for output.Filter. It is not known then which
	// of the two was written first.
	Split bool
	// Timeout ends the process that long after its start: SIGTERM, Options.Grace,
	// SIGKILL. 0 is no limit.
	Timeout time.Duration
	// Background and Label change nothing; they are facts of the process.
	Background bool
	Label      string
	// RequestID makes the start idempotent: another call with the same id and the same
	// Spec in the same scope returns the same process. "" is none.
	RequestID string
	// Log gets the records of this process, also those long after the start. The
	// manager adds chat_id and process_id. It may differ between calls with the same
	// RequestID. Nil is Options.Log.
	Log *slog.Logger
}

func (s *Spec) validate() error {
	switch {
	case len(s.Argv) == 0 && s.Command == "":
		return &InputError{"command", "an empty string", "what to run"}
	case len(s.Argv) > 0 && (s.Command != "" || s.Argv[0] == ""):
		return &InputError{"command", "both a command and an argv, or an empty program", "one of them"}
	case len(s.Command) > MaxCommandBytes:
		return &InputError{"command", fmt.Sprintf("%d bytes", len(s.Command)), fmt.Sprintf("at most %d bytes; put a longer one in a file and run that", MaxCommandBytes)}
	case strings.Contains(s.Command, "\x00") || strings.Contains(strings.Join(s.Argv, ""), "\x00"):
		return &InputError{"command", "a NUL byte", "text without NUL"}
	case len(s.Launcher) > 0 && s.Launcher[0] == "" || strings.Contains(strings.Join(s.Launcher, ""), "\x00"):
		return &InputError{"launcher", "an empty program or a NUL byte", "a program and its arguments"}
	case strings.Contains(s.Dir, "\x00"):
		return &InputError{"workdir", "a NUL byte", "a directory"}
	case len(s.Stdin) > MaxStdinBytes:
		return &InputError{"stdin", fmt.Sprintf("%d bytes", len(s.Stdin)), fmt.Sprintf("at most %d bytes", MaxStdinBytes)}
	case s.TTY != Size{} && s.Split:
		return &InputError{"split", "true with tty", "false: a terminal has one stream"}
	case validateSize(s.TTY, "tty") != nil:
		return validateSize(s.TTY, "tty")
	case s.Timeout < 0:
		return &InputError{"timeout", s.Timeout.String(), "a positive duration, or 0 for none"}
	case len(s.RequestID) > MaxRequestIDBytes:
		return &InputError{"request_id", fmt.Sprintf("%d bytes", len(s.RequestID)), fmt.Sprintf("at most %d bytes", MaxRequestIDBytes)}
	}
	for _, key := range slices.Sorted(maps.Keys(s.Env)) {
		switch {
		case key == "":
			return &InputError{"env", "an empty name", "names of at least one byte"}
		case strings.ContainsAny(key, "=\x00"):
			return &InputError{"env", fmt.Sprintf("the name %.80q", key), "names without = and NUL"}
		case strings.Contains(s.Env[key], "\x00"):
			return &InputError{"env", fmt.Sprintf("a NUL byte in the value of %.80q", key), "values without NUL"}
		case len(key)+len("=")+len(s.Env[key]) > MaxEnvBytes:
			return &InputError{"env", fmt.Sprintf("%d bytes with the value of %.40q", len(key)+len("=")+len(s.Env[key]), key), fmt.Sprintf("at most %d bytes a variable, its name included; put more in stdin or in a file", MaxEnvBytes)}
		}
	}
	return nil
}

// commandLine returns the command as it is shown.
func (s *Spec) commandLine() string {
	if len(s.Argv) > 0 {
		return strings.Join(s.Argv, " ")
	}
	return s.Command
}

// digest returns a hash of all that must not differ between calls with the same
// RequestID.
func (s *Spec) digest() [sha256.Size]byte {
	h := sha256.New()
	add := func(fields ...string) {
		h.Write(binary.AppendUvarint(nil, uint64(len(fields))))
		for _, f := range fields {
			h.Write(binary.AppendUvarint(nil, uint64(len(f))))
			h.Write([]byte(f))
		}
	}
	add(s.Command, s.Dir, s.Label, s.Timeout.String(), fmt.Sprint(s.Background, s.Stdin == nil, s.Split, s.KeepStdin, s.TTY), string(s.Stdin))
	add(s.Argv...)
	add(fmt.Sprint(s.Launcher == nil))
	add(s.Launcher...)
	for _, key := range slices.Sorted(maps.Keys(s.Env)) {
		add(key, s.Env[key])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// validateSize returns an *InputError for a size that no terminal may have.
func validateSize(s Size, field string) error {
	if s != (Size{}) && (s.Rows < 1 || s.Rows > MaxRows || s.Cols < 1 || s.Cols > MaxCols) {
		return &InputError{field, fmt.Sprintf("%d rows and %d columns", s.Rows, s.Cols), fmt.Sprintf("1 to %d rows and 1 to %d columns", MaxRows, MaxCols)}
	}
	return nil
}
