// Command proctor runs processes for AI agents. See the README, or
// proctor help.
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
	// A client that goes away must not end us before what it started is ended:
	// with SIGPIPE caught, writing to it is an error like any other. Ignored
	// instead of caught, it would be ignored in our children too.
	ignored := []os.Signal{syscall.SIGPIPE}
	ends := []os.Signal{syscall.SIGTERM}
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGHUP} {
		if signal.Ignored(sig) { // nohup asks for that, and & in a script
			ignored = append(ignored, sig)
		} else {
			ends = append(ends, sig)
		}
	}
	if signal.Ignored(syscall.SIGQUIT) {
		ignored = append(ignored, syscall.SIGQUIT)
	}
	signal.Notify(make(chan os.Signal, 1), ignored...)
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
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

// system is what a command has to do with the world.
type system struct {
	args           []string
	environ        []string
	stdin          io.Reader
	stdout, stderr io.Writer
	host           *spawn.Host // nil: nothing process-wide was set up
}

// The program's exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // it could not do what was asked, or the tool refused
	exitUsage   = 2 // it was asked in the wrong way
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

// failure is an error of a command that was asked in the right way.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// usageError is the error of a command that was asked in the wrong way.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usage(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// errRefused says that the tool refused; its answer was printed.
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

// isTerminal says that a person sees w.
func isTerminal(w io.Writer) bool {
	if u, ok := w.(*unhurried); ok {
		w = u.w
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
