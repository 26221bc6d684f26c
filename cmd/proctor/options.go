package main

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/kballard/go-shellquote"
	"github.com/spf13/pflag"

	"github.com/proctor-mcp/proctor/caller"
	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/procmgr/spawn"
)

// options are the flags of every command that has a process manager.
type options struct {
	commandOptions
	endOptions
	limitOptions
	rules    caller.Rules
	log      logOptions
	isServer bool // it runs for a long time, and first ends what dead servers left behind
}

func (o *options) register(flags *pflag.FlagSet) {
	o.commandOptions.register(flags)
	o.endOptions.register(flags)
	o.rules = caller.DefaultRules()
	flags.StringVar(&o.rules.Header, "chat-header", o.rules.Header, "HTTP header that names the chat")
	flags.StringVar(&o.rules.MetaKey, "chat-meta-key", o.rules.MetaKey, "key in _meta that names the chat")
	flags.StringSliceVar(&o.rules.SessionKeys, "session-meta-key", o.rules.SessionKeys, "keys in _meta by which clients name a conversation")
	flags.BoolVar(&o.rules.RequireChat, "require-chat", false, "refuse calls that name no chat")
	o.log.register(flags)
}

// check refuses what cannot be used, by the name of the flag.
func (o *options) check() error {
	if !headerName.MatchString(o.rules.Header) {
		return usage("--chat-header is %q; it must be letters, digits and -, such as Coder-Chat-Id", o.rules.Header)
	}
	return cmp.Or(o.commandOptions.check(), o.endOptions.check(), o.limitOptions.check())
}

var headerName = regexp.MustCompile(`^[A-Za-z0-9-]+$`)

// commandOptions say how commands run.
type commandOptions struct {
	workdir, shell string
	launcher       string
	envDeny        []string
}

func (o *commandOptions) register(flags *pflag.FlagSet) {
	flags.StringVar(&o.workdir, "workdir", "", "directory that processes start in; by default $HOME")
	flags.StringVar(&o.shell, "shell", "sh", "shell that runs commands, with -c")
	flags.StringVar(&o.launcher, "launcher", "", "program, with arguments, that runs the shell, such as bwrap or ssh; quoted as for a shell")
	flags.StringSliceVar(&o.envDeny, "env-deny", nil, "variables that processes do not inherit; NAME or PREFIX*")
}

// check also makes the working directory absolute.
func (o *commandOptions) check() error {
	for _, pattern := range o.envDeny {
		if name := strings.TrimSuffix(pattern, "*"); strings.ContainsAny(name, "*=") || pattern == "" {
			return usage("--env-deny is %q; it must be NAME or PREFIX*", pattern)
		}
	}
	if _, err := exec.LookPath(o.shell); err != nil {
		return usage("--shell is %q, which is not a program here; it must be one such as sh or /bin/bash, without arguments", o.shell)
	}
	if o.workdir == "" {
		return nil
	}
	switch info, err := os.Stat(o.workdir); {
	case os.IsNotExist(err):
		return usage("--workdir is %q, which does not exist; make it, or name another directory", o.workdir)
	case err != nil || !info.IsDir():
		return usage("--workdir is %q, which is not a directory; name one", o.workdir)
	}
	var err error
	o.workdir, err = filepath.Abs(o.workdir)
	return err
}

// splitLauncher splits --launcher into words as a shell would. It knows no operators
// and no variables.
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
		return nil, usage("--launcher begins with %q, which is not a program here; install it, or give its path", argv[0])
	}
	if strings.ContainsRune(argv[0], filepath.Separator) {
		// A relative path is meant from here, not from where a process starts.
		if argv[0], err = filepath.Abs(program); err != nil {
			return nil, err
		}
	}
	return argv, nil
}

// endOptions say how processes end, and for how long they are remembered.
type endOptions struct {
	forgetAfter, grace time.Duration
	killDomain         string
}

const (
	maxGrace      = time.Minute
	anyKillDomain = "auto"
)

func (o *endOptions) register(flags *pflag.FlagSet) {
	flags.DurationVar(&o.forgetAfter, "forget-after", procmgr.DefaultForgetAfter, "how long an ended process is kept, at most 1h")
	flags.DurationVar(&o.grace, "grace", procmgr.DefaultGrace, "time from SIGTERM to SIGKILL at timeout_ms and at the server's end, at most 1m")
	flags.StringVar(&o.killDomain, "kill-domain", anyKillDomain, "the best kill domain that may be used: auto, cgroup, descendants, process_group")
}

func (o *endOptions) check() error {
	if o.forgetAfter <= 0 || o.forgetAfter > procmgr.MaxKeep {
		return usage("--forget-after is %v; it must be more than 0 and at most 1h", o.forgetAfter)
	}
	if o.grace <= 0 || o.grace > maxGrace {
		return usage("--grace is %v; it must be more than 0 and at most %v", o.grace, maxGrace)
	}
	return nil
}

// restrict has the host use no better kill domain than the flag names.
func (o *endOptions) restrict(host *spawn.Host) error {
	if o.killDomain == anyKillDomain || host == nil {
		return nil
	}
	if err := host.RestrictKillDomain(spawn.KillDomain(o.killDomain)); err != nil {
		return usage("--kill-domain is %q; it must be auto, cgroup, descendants or process_group: %v", o.killDomain, err)
	}
	return nil
}
