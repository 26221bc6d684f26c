// Command proctor runs processes for AI agents: see README and proctor help.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"github.com/proctor-mcp/proctor/procmgr/spawn"
	"github.com/proctor-mcp/proctor/procmgr/spawn/early"
)

func main() {
	ctx, stop := signals()
	defer stop()
	host := spawn.Setup(spawn.SetupOptions{Guard: early.GuardName, OnlyCommands: true})
	stderr := &unhurried{w: os.Stderr}
	os.Exit(host.Run(func() int {
		defer stderr.flush()
		return run(ctx, system{
			args:    os.Args[1:],
			environ: os.Environ(),
			stdin:   os.Stdin,
			stdout:  os.Stdout,
			stderr:  stderr,
			host:    host,
		})
	}))
}

// signals returns a context that the usual signals end. A signal that was ignored when
// the program was started (by nohup, or by & in a script) still does nothing, but it is
// caught: children would inherit an ignored signal.
func signals() (ctx context.Context, stop func()) {
	// Writing to a client that is gone must fail, and not end the program before it has
	// ended what the client started.
	dropped := []os.Signal{syscall.SIGPIPE}
	ends := []os.Signal{syscall.SIGTERM}
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGHUP} {
		if signal.Ignored(sig) {
			dropped = append(dropped, sig)
		} else {
			ends = append(ends, sig)
		}
	}
	if signal.Ignored(syscall.SIGQUIT) {
		dropped = append(dropped, syscall.SIGQUIT)
	}
	signal.Notify(make(chan os.Signal, 1), dropped...)
	return signal.NotifyContext(context.Background(), ends...)
}

// system is what a command uses of the world outside.
type system struct {
	args           []string
	environ        []string
	stdin          io.Reader
	stdout, stderr io.Writer
	host           *spawn.Host // nil in tests that set up nothing for the whole process
}

// The program's exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // the program cannot do what was asked, or the tool refused
	exitUsage   = 2 // the command line is wrong
)

// run runs the program and returns its exit code.
func run(ctx context.Context, sys system) int {
	root := rootCommand(sys)
	root.SetArgs(sys.args)
	root.SetIn(sys.stdin)
	root.SetOut(sys.stdout)
	root.SetErr(sys.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errRefused):
		return exitFailure
	case errors.As(err, new(failure)):
		fmt.Fprintf(sys.stderr, "proctor: %v\n", err)
		return exitFailure
	default:
		fmt.Fprintf(sys.stderr, "proctor: %v\nTry: %s --help\n", err, cmd.CommandPath())
		return exitUsage
	}
}

// failure is an error that the command line is not the cause of.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// usageError is an error in the command line.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usage(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// errRefused is returned after the answer of a tool that refused was printed.
var errRefused = errors.New("the tool refused")

// getenv returns a variable of the environment, or "".
func (s system) getenv(name string) string {
	for i := len(s.environ) - 1; i >= 0; i-- {
		if len(s.environ[i]) > len(name) && s.environ[i][:len(name)+1] == name+"=" {
			return s.environ[i][len(name)+1:]
		}
	}
	return ""
}

// isTerminal reports whether w is a terminal, where a person reads.
func isTerminal(w io.Writer) bool {
	if u, ok := w.(*unhurried); ok {
		w = u.w
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
