package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/procmgr/output"
	"github.com/proctor-mcp/proctor/procmgr/spawn"
)

// registerLimits registers the flags that have a help topic of their own.
func (o *options) registerLimits(flags *pflag.FlagSet) {
	flags.IntVar(&o.maxCallsPerChat, "max-calls-per-chat", 2000, "calls of a chat in progress at a time")
	flags.IntVar(&o.maxCallsPerToken, "max-calls-per-token", 10000, "calls of a token in progress at a time")
	flags.IntVar(&o.maxRunningPerChat, "max-running-per-chat", 64, "processes of a chat that run at a time")
	flags.IntVar(&o.maxRunning, "max-running", 1024, "processes of all chats that run at a time")
	flags.IntVar(&o.keepFinished, "keep-finished", procmgr.DefaultKeepFinished, "ended processes of a chat that are kept, at least 1")
	o.outputMemory = defaultOutputMemory
	flags.Var(&o.outputMemory, "output-memory", "memory for the output of all processes; what is more goes to disk")
	o.outputTotal, o.outputMax = defaultOutputTotal, output.DefaultMax
	flags.Var(&o.outputTotal, "output-total", "output of all processes that is kept, in memory and on disk")
	flags.Var(&o.outputMax, "output-max", "output of a process that is kept: its first 1MiB and its last; at least 2MiB")
	flags.StringVar(&o.outputDir, "output-dir", "", "folder for output of more than 256KiB and for nothing else, mode 0700 (default $XDG_STATE_HOME/proctor/output)")
	flags.Var((*bytesFlag)(&o.limits.Memory), "memory-limit", "memory of a process with all that it forks; needs cgroups (default no limit)")
	flags.Var((*bytesFlag)(&o.limits.MemoryPerScope), "memory-limit-per-chat", "memory of all processes of a chat; needs cgroups (default no limit)")
	flags.Int64Var(&o.limits.Pids, "pids-limit", 0, "processes and threads of a process with all that it forks; needs cgroups (default no limit)")
	flags.Int64Var(&o.limits.PidsPerScope, "pids-limit-per-chat", 0, "processes and threads of all processes of a chat; needs cgroups (default no limit)")
}

// limited adds the flags of limits to a command, whose help tells where they are.
func limited(cmd *cobra.Command, register ...func(*pflag.FlagSet)) {
	limits := pflag.NewFlagSet("limits", pflag.ContinueOnError)
	for _, r := range register {
		r(limits)
	}
	limits.VisitAll(func(f *pflag.Flag) { f.Hidden = true })
	cmd.Flags().AddFlagSet(limits)
	// A usage template of its own would say it better, and bring in text/template,
	// with which the linker keeps every method of the program: 2 MB of memory.
	cmd.Long += "\n\nFlags of limits: proctor help limits"
}

// limitsTopic is what proctor help limits shows.
func limitsTopic() *cobra.Command {
	flags := pflag.NewFlagSet("limits", pflag.ContinueOnError)
	var o serveOptions
	o.registerLimits(flags)
	o.registerServeLimits(flags)
	return &cobra.Command{
		Use:   "limits",
		Short: "What a chat, a process and the server may use",
		Long: `Flags of stdio, serve and call that limit what a chat, a process and the server
may use. 0 is no limit, but for --keep-finished and --output-max. A start, call or
stream beyond a limit is refused, and the answer names the flag; a connection
waits. At a memory limit the kernel kills, at one of pids a fork fails. Ended
processes and output give way. Sizes are bytes, or have a unit: 512MiB, 512m; 1024
is the base.

` + flags.FlagUsages(),
	}
}

// minMemoryLimit is enough for a shell.
const minMemoryLimit = 1 << 20

// setLimits has the kernel's limits kept.
func (o *options) setLimits(host *spawn.Host, launcher []string) error {
	for flag, n := range map[string]int64{"--memory-limit": o.limits.Memory, "--memory-limit-per-chat": o.limits.MemoryPerScope} {
		if n != 0 && n < minMemoryLimit {
			return usage("%s is %d bytes; it must be at least 1MiB, or 0, which is no limit", flag, n)
		}
	}
	if o.limits.Pids < 0 || o.limits.PidsPerScope < 0 {
		return usage("--pids-limit is %d and --pids-limit-per-chat %d; they must be at least 0, which is no limit", o.limits.Pids, o.limits.PidsPerScope)
	}
	if remote := procmgr.RemoteLauncher(launcher); remote != "" && o.limits != (spawn.Limits{}) {
		return usage("--memory-limit, --pids-limit and their like per chat do not reach where --launcher %s runs commands; leave them out, or set limits there", remote)
	}
	if o.limits != (spawn.Limits{}) && host != nil {
		if err := host.SetLimits(o.limits); err != nil {
			flags := "--memory-limit, --memory-limit-per-chat"
			if errors.Is(err, spawn.ErrPidsLimit) {
				flags = "--pids-limit, --pids-limit-per-chat"
			}
			return failure{fmt.Errorf("%s: %w; leave them out, or let the server write cgroups (as root, or with Delegate=yes in systemd)", flags, err)}
		}
	}
	return nil
}

// bytesFlag is a flag that takes a size: 1048576, 64MiB, 64m; 1024 is the base of
// all units. 0 is no limit.
type bytesFlag int64

func (f *bytesFlag) Set(text string) error {
	n, err := units.RAMInBytes(text)
	if err != nil || n < 0 || strings.TrimSpace(text) != text {
		return errors.New("it must be a number of bytes, or one with a unit such as 512MiB")
	}
	*f = bytesFlag(n)
	return nil
}

func (f *bytesFlag) String() string {
	if *f == 0 {
		return "0"
	}
	return units.CustomSize("%g%s", float64(*f), 1024, []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"})
}

func (f *bytesFlag) Type() string { return "size" }
