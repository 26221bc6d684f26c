package main

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/procmgr/output"
	"github.com/proctor-mcp/proctor/procmgr/spawn"
)

// limitOptions say what a chat, a process and the server may use. Their flags have a
// help topic of their own.
type limitOptions struct {
	maxCallsPerChat, maxCallsPerToken int

	maxRunningPerChat, maxRunning, keepFinished int

	output outputOptions
	kernel spawn.Limits
}

// outputOptions say how much output is kept, and where.
type outputOptions struct {
	memory, total, max bytesFlag
	dir                string
}

const (
	// defaultOutputMemory is the most that 256 processes keep in memory.
	defaultOutputMemory = 64 << 20
	minOutputMemory     = 1 << 20
	defaultOutputTotal  = 1 << 30
	minOutputMax        = 2 << 20
	// minMemoryLimit is enough for a shell.
	minMemoryLimit = 1 << 20
)

func (o *limitOptions) registerLimits(flags *pflag.FlagSet) {
	flags.IntVar(&o.maxCallsPerChat, "max-calls-per-chat", 2000, "calls of a chat in progress at a time")
	flags.IntVar(&o.maxCallsPerToken, "max-calls-per-token", 10000, "calls of a token in progress at a time")
	flags.IntVar(&o.maxRunningPerChat, "max-running-per-chat", 64, "processes of a chat that run at a time")
	flags.IntVar(&o.maxRunning, "max-running", 1024, "processes of all chats that run at a time")
	flags.IntVar(&o.keepFinished, "keep-finished", procmgr.DefaultKeepFinished, "ended processes of a chat that are kept, at least 1")
	o.output = outputOptions{memory: defaultOutputMemory, total: defaultOutputTotal, max: output.DefaultMax}
	flags.Var(&o.output.memory, "output-memory", "memory for the output of all processes; the rest goes to disk")
	flags.Var(&o.output.total, "output-total", "output of all processes that is kept, in memory and on disk")
	flags.Var(&o.output.max, "output-max", "output of a process that is kept: its first 1MiB and its last; at least 2MiB")
	flags.StringVar(&o.output.dir, "output-dir", "", "folder for output of more than 256KiB and for nothing else, mode 0700 (default $XDG_STATE_HOME/proctor/output)")
	flags.Var((*bytesFlag)(&o.kernel.Memory), "memory-limit", "memory of a process and all that it forks; needs cgroups (default no limit)")
	flags.Var((*bytesFlag)(&o.kernel.MemoryPerScope), "memory-limit-per-chat", "memory of all processes of a chat; needs cgroups (default no limit)")
	flags.Int64Var(&o.kernel.Pids, "pids-limit", 0, "processes and threads of a process and all that it forks; needs cgroups (default no limit)")
	flags.Int64Var(&o.kernel.PidsPerScope, "pids-limit-per-chat", 0, "processes and threads of all processes of a chat; needs cgroups (default no limit)")
}

// limited adds flags of limits to a command without showing them in its help, which
// names the topic instead.
func limited(cmd *cobra.Command, register ...func(*pflag.FlagSet)) {
	limits := pflag.NewFlagSet("limits", pflag.ContinueOnError)
	for _, r := range register {
		r(limits)
	}
	limits.VisitAll(func(f *pflag.Flag) { f.Hidden = true })
	cmd.Flags().AddFlagSet(limits)
	// A usage template would put this in a better place, but it needs text/template, with
	// which the linker keeps every method of the program: 2 MB of memory.
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
may use. 0 means no limit, except for --keep-finished and --output-max. Proctor
refuses a start, a call or a stream beyond a limit and names the flag; a connection
waits. At a memory limit the kernel kills processes, at a limit of pids it refuses
to fork. Ended processes and output make room for new ones. A size is a number of
bytes, or has a unit: 512MiB, 512m; 1024 is the base.

` + flags.FlagUsages(),
	}
}

func (o *limitOptions) check() error {
	if err := cmp.Or(
		atLeastZero("max-calls-per-chat", o.maxCallsPerChat), atLeastZero("max-calls-per-token", o.maxCallsPerToken),
		atLeastZero("max-running-per-chat", o.maxRunningPerChat), atLeastZero("max-running", o.maxRunning),
	); err != nil {
		return err
	}
	if o.keepFinished < 1 {
		return usage("--keep-finished is %d; it must be at least 1", o.keepFinished)
	}
	if n := o.output.memory; n != 0 && n < minOutputMemory {
		return usage("--output-memory is %v; it must be at least 1MiB, or 0, which is no limit", &n)
	}
	if n := o.output.total; n != 0 && n < minOutputMemory {
		return usage("--output-total is %v; it must be at least 1MiB, or 0, which is no limit", &n)
	}
	if n := o.output.max; n < minOutputMax {
		return usage("--output-max is %v; it must be at least 2MiB", &n)
	}
	for flag, n := range map[string]int64{"--memory-limit": o.kernel.Memory, "--memory-limit-per-chat": o.kernel.MemoryPerScope} {
		if n != 0 && n < minMemoryLimit {
			return usage("%s is %d bytes; it must be at least 1MiB, or 0, which is no limit", flag, n)
		}
	}
	if o.kernel.Pids < 0 || o.kernel.PidsPerScope < 0 {
		return usage("--pids-limit is %d and --pids-limit-per-chat %d; they must be at least 0, which is no limit", o.kernel.Pids, o.kernel.PidsPerScope)
	}
	return nil
}

// manager returns the options of the manager. The folder is one in the state folder
// if none was named.
func (o *outputOptions) manager(sys system) procmgr.OutputOptions {
	dir := o.dir
	if state := stateDir(sys); dir == "" && state != "" {
		dir = filepath.Join(state, "output")
	}
	return procmgr.OutputOptions{Dir: dir, Max: int64(o.max), Total: int64(o.total), Memory: int64(o.memory)}
}

// setKernelLimits has the kernel keep the limits on memory and pids.
func (o *limitOptions) setKernelLimits(host *spawn.Host, launcher []string) error {
	if o.kernel == (spawn.Limits{}) {
		return nil
	}
	if remote := procmgr.RemoteLauncher(launcher); remote != "" {
		return usage("--memory-limit, --pids-limit and their like per chat do not reach where --launcher %s runs commands; leave them out, or set limits there", remote)
	}
	if host == nil {
		return nil
	}
	if err := host.SetLimits(o.kernel); err != nil {
		flags := "--memory-limit, --memory-limit-per-chat"
		if errors.Is(err, spawn.ErrPidsLimit) {
			flags = "--pids-limit, --pids-limit-per-chat"
		}
		return failure{fmt.Errorf("%s: %w; leave them out, or let the server write cgroups (as root, or with Delegate=yes in systemd)", flags, err)}
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
