package main

import (
	"github.com/spf13/cobra"
)

func rootCommand(sys system) *cobra.Command {
	root := &cobra.Command{
		Use:   "proctor",
		Short: "Supervised processes for AI agents",
		Long: `Proctor gives AI agents supervised processes over the Model Context Protocol.
Agents start commands, follow their output, list them and end them. Each chat sees
only its own processes.`,
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
	refuseUnknownTopics(root)
	return root
}
