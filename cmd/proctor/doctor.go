package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/proctor-mcp/proctor/procmgr/spawn"
)

func doctorCommand(sys system) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Show what this machine offers for ending and limiting processes",
		Long: `Show what this machine offers for ending and limiting processes. It tries out the
same things as a server when it starts: the kill domain that process_signal reaches,
what that depends on, and whether --memory-limit and --pids-limit work.`,
		Example: "  proctor doctor --json",
		Args:    noArgs,
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		report := spawn.Report{KillDomain: spawn.New(spawn.Options{}).KillDomain()}
		if sys.host != nil {
			report = sys.host.Report()
		}
		if asJSON {
			type fact struct {
				Name   string `json:"name"`
				Value  string `json:"value"`
				Detail string `json:"detail,omitempty"`
			}
			out := struct {
				KillDomain spawn.KillDomain `json:"kill_domain"`
				Facts      []fact           `json:"facts"`
			}{report.KillDomain, []fact{}}
			for _, f := range report.Facts {
				out.Facts = append(out.Facts, fact(f))
			}
			encoder := json.NewEncoder(cmd.OutOrStdout())
			encoder.SetIndent("", "  ")
			return encoder.Encode(out)
		}
		table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		fmt.Fprintf(table, "system\t%s/%s\t\n", runtime.GOOS, runtime.GOARCH)
		fmt.Fprintf(table, "kill domain\t%s\t%s\n", report.KillDomain, reaches(report.KillDomain))
		for _, f := range report.Facts {
			fmt.Fprintf(table, "%s\t%s\t%s\n", f.Name, f.Value, f.Detail)
		}
		return table.Flush()
	}
	return cmd
}

// reaches says which processes a kill domain holds.
func reaches(d spawn.KillDomain) string {
	switch d {
	case spawn.KillDomainCgroup, spawn.KillDomainJob:
		return "all that a command forks"
	case spawn.KillDomainDescendants:
		return "all that a command forks, except for a chain of processes that fork and exit at full speed"
	}
	return "what stays in the process group; daemons leave it"
}
