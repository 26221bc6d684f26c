package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/proctor-mcp/proctor/caller"
	"github.com/proctor-mcp/proctor/procmgr"
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
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(stdioCommand(sys), serveCommand(sys), callCommand(sys), versionCommand())
	return root
}

// options are the flags that every command with a process manager has.
type options struct {
	workdir, shell string
	envDeny        []string
	forgetAfter    time.Duration
	rules          caller.Rules
	log            logOptions
}

func (o *options) register(flags *pflag.FlagSet) {
	o.rules = caller.DefaultRules()
	flags.StringVar(&o.workdir, "workdir", "", "directory that processes start in; by default $HOME")
	flags.StringVar(&o.shell, "shell", "sh", "shell that runs commands, with -c")
	flags.StringSliceVar(&o.envDeny, "env-deny", nil, "variables that processes do not inherit; NAME or PREFIX*")
	flags.DurationVar(&o.forgetAfter, "forget-after", procmgr.DefaultForgetAfter, "how long an ended process is kept, at most 1h")
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
}

func (o *options) program(sys system) (*program, error) {
	log, err := o.log.open(sys.stderr)
	if err != nil {
		return nil, err
	}
	switch {
	case o.forgetAfter <= 0 || o.forgetAfter > procmgr.MaxKeep:
		return nil, usage("--forget-after is %v; it must be more than 0 and at most %v", o.forgetAfter, procmgr.MaxKeep)
	case strings.TrimSpace(o.shell) == "":
		return nil, usage("--shell is empty; it must be a program such as sh or bash")
	}
	if o.workdir != "" {
		if info, err := os.Stat(o.workdir); err != nil || !info.IsDir() {
			return nil, usage("--workdir is %q, which is not a directory", o.workdir)
		}
		if o.workdir, err = filepath.Abs(o.workdir); err != nil {
			return nil, err
		}
	}
	manager := procmgr.New(procmgr.Options{
		Shell:       []string{o.shell, "-c"},
		Environ:     sys.environ,
		DenyEnv:     o.envDeny,
		Dir:         func() string { return o.workdir },
		ForgetAfter: o.forgetAfter,
		Log:         log.Logger,
	})
	return &program{manager: manager, tools: tools.New(manager, o.rules, log.Logger), log: log}, nil
}

// closeTime is when close gives up: the grace, the time after a kill, and some.
const closeTime = procmgr.DefaultGrace + 2*time.Second

// close ends everything that runs.
func (p *program) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	if err := p.manager.Close(ctx); err != nil {
		return failure{err}
	}
	return nil
}
