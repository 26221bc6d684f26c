package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/proctor-mcp/proctor/caller"
	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/transport"
)

func stdioCommand(sys system) *cobra.Command {
	var o options
	var chat string
	cmd := &cobra.Command{
		Use:   "stdio",
		Short: "Serve one client over standard input and output",
		Long: `Serve one MCP client over standard input and output. The client starts this
command. When it closes the input, Proctor ends every process and exits.`,
		Example: "  proctor stdio --chat-id my-chat",
		Args:    noArgs,
	}
	o.register(cmd.Flags())
	limited(cmd, o.registerLimits)
	cmd.Flags().StringVar(&chat, "chat-id", "", "chat of calls that name none; by default $"+chatVariable)
	cmd.Flags().Lookup("workdir").Usage = "directory that processes start in; by default the current one, unless that is /"
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		id, err := stdioIdentity(sys, chat)
		if err != nil {
			return err
		}
		if o.workdir == "" {
			o.workdir = startDirectory()
		}
		o.isServer = true
		p, err := o.program(sys)
		if err != nil {
			return err
		}
		gone := newHangUps()
		serve := &transport.Stdio{
			Server: transport.NewServer(p.tools, version, p.log.Logger), Identity: id, Log: p.log.Logger,
			HungUp: gone.in, Unread: gone.out,
			// Before the first call there is nothing to end, and the thread would delay the start.
			OnCall: func() { gone.watch(sys.stdin, sys.stdout) },
		}
		err = serve.Serve(cmd.Context(), sys.stdin, sys.stdout)
		if errors.Is(err, context.Canceled) {
			err = nil // a signal ended the program
		}
		closeErr := p.close()
		if err != nil {
			return failure{err}
		}
		return closeErr
	}
	return cmd
}

// chatVariable is the variable that names the chat for which a process was started.
const chatVariable = "CODER_CHAT_ID"

func stdioIdentity(sys system, chat string) (caller.Identity, error) {
	from := "--chat-id"
	if chat == "" {
		chat, from = sys.getenv(chatVariable), chatVariable
	}
	if chat != "" && !procmgr.ValidChatID(chat) {
		return caller.Identity{}, usage("%s is %.60q; it must be 1 to 128 of A-Z a-z 0-9 . _ : @ / + = -", from, chat)
	}
	return caller.Identity{Token: "stdio", DefaultChat: chat}, nil
}

// startDirectory returns the current directory, or "" if that is the root: there,
// clients without a project start their servers.
func startDirectory() string {
	dir, err := os.Getwd()
	if err != nil || filepath.Dir(dir) == dir {
		return ""
	}
	return dir
}
