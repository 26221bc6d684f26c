// Command bench measures how fast Proctor is on this machine.
//
//	go run ./bench [flags] [-- FLAG...]
//
// It starts Proctor as a client does. It measures the time from a call to its answer,
// and the memory and threads of the server. The tests beside it load the program, or
// use it for hours.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/term"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.As(err, new(usageError)):
		fmt.Fprintf(os.Stderr, "bench: %v\nTry: go run ./bench -help\n", err)
		os.Exit(2)
	default:
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// usageError reports wrong flags or arguments.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usage(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// options are the flags.
type options struct {
	rounds, samples int
	json            bool
	program, file   string
	server          []string // flags for the server
}

const help = `Usage: go run ./bench [flags] [-- FLAG...]

Build Proctor, start it as a client does (proctor stdio, without limits) and
measure the time from a call to its answer, and the memory and threads of the
server. Each round measures everything with new servers.
It takes about half a minute, prints Markdown and ends everything it started.
The server gets the flags behind --.

Example: go run ./bench -rounds 1 -n 20 -- --kill-domain process_group

Flags:
`

// parse reads the command line. It prints help to w if that is asked for.
func parse(args []string, w io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // main prints the error
	flags.IntVar(&o.rounds, "rounds", 3, "rounds, 1 to 100; the samples are spread over them")
	flags.IntVar(&o.samples, "n", 200, "samples of each time, 1 to 10000; slow operations get fewer")
	flags.BoolVar(&o.json, "json", false, "print JSON")
	flags.StringVar(&o.file, "write", "", "write the table into this `file`, between <!-- bench --> and <!-- end of bench -->")
	flags.StringVar(&o.program, "program", "", "measure this program instead of building one")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(w, help)
		flags.SetOutput(w)
		flags.PrintDefaults()
		return o, err
	case err != nil:
		return o, usage("%v", err)
	}
	o.server = flags.Args()
	if words := len(o.server); words > 0 && (words == len(args) || args[len(args)-words-1] != "--") {
		return o, usage("%q is no flag; flags for the server follow --", o.server[0])
	}
	if o.rounds < 1 || o.rounds > 100 {
		return o, usage("-rounds is %d; it must be 1 to 100", o.rounds)
	}
	if o.samples < 1 || o.samples > 10000 {
		return o, usage("-n is %d; it must be 1 to 10000", o.samples)
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, stdout)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = errors.New("interrupted")
		}
	}()
	program := o.program
	if program == "" {
		dir, err := os.MkdirTemp("", "proctor-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if program, err = build(ctx, dir); err != nil {
			return err
		}
	}
	version, err := exec.CommandContext(ctx, program, "version").Output()
	if err != nil {
		return fmt.Errorf("cannot run %s version: %w", program, err)
	}
	b := &benchmark{
		version:  strings.TrimSpace(string(version)),
		argv:     slices.Concat([]string{program, "stdio"}, withoutLimits(), o.server),
		perRound: (o.samples + o.rounds - 1) / o.rounds,
		values:   map[metric][]float64{},
	}
	for i := range o.rounds {
		if f, ok := stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			fmt.Fprintf(stderr, "bench: round %d of %d\n", i+1, o.rounds)
		}
		if err := b.round(ctx); err != nil {
			return err
		}
	}
	switch {
	case o.file != "":
		return b.writeTable(o.file)
	case o.json:
		return b.printJSON(stdout)
	}
	return b.printTable(stdout)
}

// build builds Proctor as a user does, into dir, and returns the program's path.
func build(ctx context.Context, dir string) (program string, err error) {
	program = filepath.Join(dir, "proctor")
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/proctor-mcp/proctor/cmd/proctor")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build Proctor: %w: %s", err, out)
	}
	return program, nil
}

// withoutLimits returns the flags that lift the limits which a measurement would
// reach: the numbers of calls and processes, and, on a busy machine, the time in which
// a server must end a thousand processes.
func withoutLimits() []string {
	return []string{"--grace=1m", "--max-calls-per-chat=0", "--max-calls-per-token=0", "--max-running-per-chat=0", "--max-running=0"}
}
