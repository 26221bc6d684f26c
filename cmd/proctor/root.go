package main

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/kballard/go-shellquote"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/proctor-mcp/proctor/caller"
	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/procmgr/spawn"
	"github.com/proctor-mcp/proctor/tools"
)

func rootCommand(sys system) *cobra.Command {
	root := &cobra.Command{
		Use:   "proctor",
		Short: "Supervised processes for AI agents",
		Long: `Proctor gives AI agents supervised processes over the Model Context Protocol:
start commands, follow their output, list them and end them, each chat by itself.`,
		Example: `  proctor stdio
  proctor serve
  proctor call process_start '{"command": "go test ./..."}'`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version,

		PersistentPreRunE: checkFlags,
	}
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(stdioCommand(sys), serveCommand(sys), callCommand(sys), doctorCommand(sys), versionCommand(), limitsTopic())
	helpOnWhatThereIs(root)
	return root
}

// options are the flags that every command with a process manager has.
type options struct {
	workdir, shell string
	launcher       string
	envDeny        []string
	forgetAfter    time.Duration
	grace          time.Duration
	killDomain     string
	limits         spawn.Limits
	rules          caller.Rules
	log            logOptions
	isServer       bool // it runs for long, and cleans up behind others of its kind

	maxCallsPerChat, maxCallsPerToken int

	maxRunningPerChat, maxRunning, keepFinished int
	outputMemory, outputTotal, outputMax        bytesFlag
	outputDir                                   string
}

func (o *options) register(flags *pflag.FlagSet) {
	o.rules = caller.DefaultRules()
	flags.StringVar(&o.workdir, "workdir", "", "directory that processes start in; by default $HOME")
	flags.StringVar(&o.shell, "shell", "sh", "shell that runs commands, with -c")
	flags.StringVar(&o.launcher, "launcher", "", "program, with arguments, that runs the shell, such as bwrap or ssh; quoted as for a shell")
	flags.StringSliceVar(&o.envDeny, "env-deny", nil, "variables that processes do not inherit; NAME or PREFIX*")
	flags.DurationVar(&o.forgetAfter, "forget-after", procmgr.DefaultForgetAfter, "how long an ended process is kept, at most 1h")
	flags.DurationVar(&o.grace, "grace", procmgr.DefaultGrace, "time from SIGTERM to SIGKILL at timeout_ms and at the server's end, at most 1m")
	flags.StringVar(&o.killDomain, "kill-domain", "auto", "what a kill may use at most: auto, cgroup, descendants, process_group")
	flags.StringVar(&o.rules.Header, "chat-header", o.rules.Header, "HTTP header that names the chat")
	flags.StringVar(&o.rules.MetaKey, "chat-meta-key", o.rules.MetaKey, "key in _meta that names the chat")
	flags.StringSliceVar(&o.rules.SessionKeys, "session-meta-key", o.rules.SessionKeys, "keys in _meta by which clients name a conversation")
	flags.BoolVar(&o.rules.RequireChat, "require-chat", false, "refuse calls that name no chat")
	o.log.register(flags)
}

// program is what the commands put behind their transport.
type program struct {
	manager *procmgr.Manager
	tools   *tools.Tools
	log     *logger
	grace   time.Duration
	ready   chan struct{} // closed when prepare is through
	closing chan struct{} // closed when there is no time for it any more
}

func (o *options) program(sys system) (*program, error) {
	if sys.host != nil { // first: what comes may already want one thread too many
		if err := sys.host.ReserveThreads(); err != nil {
			return nil, failure{err}
		}
	}
	log, err := o.log.open(sys.stderr)
	if err != nil {
		return nil, err
	}
	if o.forgetAfter <= 0 || o.forgetAfter > procmgr.MaxKeep {
		return nil, usage("--forget-after is %v; it must be more than 0 and at most 1h", o.forgetAfter)
	}
	if o.grace <= 0 || o.grace > maxGrace {
		return nil, usage("--grace is %v; it must be more than 0 and at most %v", o.grace, maxGrace)
	}
	if err := cmp.Or(
		atLeastZero("max-calls-per-chat", o.maxCallsPerChat), atLeastZero("max-calls-per-token", o.maxCallsPerToken),
		atLeastZero("max-running-per-chat", o.maxRunningPerChat), atLeastZero("max-running", o.maxRunning),
	); err != nil {
		return nil, err
	}
	if o.keepFinished < 1 {
		return nil, usage("--keep-finished is %d; it must be at least 1", o.keepFinished)
	}
	if n := o.outputMemory; n != 0 && n < minOutputMemory {
		return nil, usage("--output-memory is %v; it must be at least 1MiB, or 0, which is no limit", &n)
	}
	if n := o.outputTotal; n != 0 && n < minOutputMemory {
		return nil, usage("--output-total is %v; it must be at least 1MiB, or 0, which is no limit", &n)
	}
	if o.outputMax < minOutputMax {
		return nil, usage("--output-max is %v; it must be at least 2MiB", &o.outputMax)
	}
	if o.outputDir == "" {
		if state := stateDir(sys); state != "" {
			o.outputDir = filepath.Join(state, "output")
		}
	}
	for _, pattern := range o.envDeny {
		if name := strings.TrimSuffix(pattern, "*"); strings.ContainsAny(name, "*=") || pattern == "" {
			return nil, usage("--env-deny is %q; it must be NAME or PREFIX*", pattern)
		}
	}
	if strings.ContainsFunc(o.rules.Header, func(r rune) bool { return r != '-' && (r < '0' || r > 'z' || r > '9' && r < 'A' || r > 'Z' && r < 'a') }) || o.rules.Header == "" {
		return nil, usage("--chat-header is %q; it must be letters, digits and -, such as Coder-Chat-Id", o.rules.Header)
	}
	if _, err := exec.LookPath(o.shell); err != nil {
		return nil, usage("--shell is %q, which is no program here; it must be one such as sh or /bin/bash, without arguments", o.shell)
	}
	launcher, err := splitLauncher(o.launcher)
	if err != nil {
		return nil, err
	}
	if o.workdir != "" {
		switch info, err := os.Stat(o.workdir); {
		case os.IsNotExist(err):
			return nil, usage("--workdir is %q, which does not exist; make it, or name another directory", o.workdir)
		case err != nil || !info.IsDir():
			return nil, usage("--workdir is %q, which is not a directory; name one", o.workdir)
		}
		var err error
		if o.workdir, err = filepath.Abs(o.workdir); err != nil {
			return nil, err
		}
	}
	if o.killDomain != "auto" && sys.host != nil {
		if err := sys.host.RestrictKillDomain(spawn.KillDomain(o.killDomain)); err != nil {
			return nil, usage("--kill-domain is %q; it must be auto, cgroup, descendants or process_group: %v", o.killDomain, err)
		}
	}
	if err := o.setLimits(sys.host, launcher); err != nil {
		return nil, err
	}
	manager := procmgr.New(procmgr.Options{
		Host:               sys.host,
		Shell:              []string{o.shell, "-c"},
		Launcher:           launcher,
		Env:                procmgr.EnvOptions{Inherit: sys.environ, Deny: o.envDeny},
		Dir:                func() string { return o.workdir },
		ForgetAfter:        o.forgetAfter,
		KeepFinished:       o.keepFinished,
		MaxRunningPerScope: o.maxRunningPerChat,
		MaxRunning:         o.maxRunning,
		Output: procmgr.OutputOptions{
			Dir: o.outputDir, Max: int64(o.outputMax), Total: int64(o.outputTotal), Memory: int64(o.outputMemory),
		},
		Grace: o.grace,
		Log:   log.Logger,
	})
	p := &program{manager: manager, tools: tools.New(tools.Options{
		Manager: manager, Rules: o.rules, Log: log.Logger,
		MaxCallsPerChat: o.maxCallsPerChat, MaxCallsPerToken: o.maxCallsPerToken,
	}), log: log, grace: o.grace, ready: make(chan struct{}), closing: make(chan struct{})}
	go p.prepare(sys.host, o.isServer)
	return p, nil
}

// splitLauncher takes --launcher apart as a shell would, but that it knows no
// operators and no variables.
func splitLauncher(text string) (argv []string, err error) {
	if text == "" {
		return nil, nil
	}
	if argv, err = shellquote.Split(text); err != nil {
		return nil, usage("--launcher is %q, which cannot be read (%v); quote it as for a shell, such as --launcher 'bwrap --bind / / --'", text, err)
	}
	if len(argv) == 0 || argv[0] == "" {
		return nil, usage("--launcher is %q, which names no program; it must be one with its arguments, such as --launcher 'bwrap --bind / / --'", text)
	}
	program, err := exec.LookPath(argv[0])
	if err != nil {
		return nil, usage("--launcher begins with %q, which is no program here; install it, or give its path", argv[0])
	}
	if strings.ContainsRune(argv[0], filepath.Separator) {
		// Where a process starts is not where this was typed.
		if argv[0], err = filepath.Abs(program); err != nil {
			return nil, err
		}
	}
	return argv, nil
}

// prepare does beside the start what the first process would else wait for.
func (p *program) prepare(host *spawn.Host, isServer bool) {
	defer close(p.ready)
	if host != nil {
		host.LogTo(p.log.Logger)
		p.log.Info("ready to start processes", "kill_domain", string(host.KillDomain()))
	}
	if !isServer {
		return
	}
	if host != nil {
		host.Sweep()
	}
	// Most servers wait most of the time: what the start has used goes back.
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	select {
	case <-timer.C:
		debug.FreeOSMemory()
	case <-p.closing:
	}
}

const (
	maxGrace = time.Minute
	// defaultOutputMemory is room for what 256 processes have in memory at most.
	defaultOutputMemory = 64 << 20
	minOutputMemory     = 1 << 20
	defaultOutputTotal  = 1 << 30
	minOutputMax        = 2 << 20
	// closeTime is when close gives up, after the grace: the manager's time after
	// a kill, and some.
	closeTime = 2 * time.Second
	// settleTime is how long a start and its first questions take at most.
	settleTime = 300 * time.Millisecond
)

// close ends everything that runs.
func (p *program) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), p.grace+closeTime)
	defer cancel()
	close(p.closing)
	<-p.ready
	reach, err := p.manager.Close(ctx)
	if reach.Escapes {
		p.log.Info("descendants that have left their kill domain may live on", "kill_domain", string(reach.KillDomain))
	}
	if err != nil {
		return failure{err}
	}
	p.tools.Close()
	return nil
}
