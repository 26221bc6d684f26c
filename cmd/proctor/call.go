package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/mark3labs/mcp-go/client"
	mcptransport "github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/spf13/cobra"

	"github.com/proctor-mcp/proctor/caller"
	"github.com/proctor-mcp/proctor/procmgr"
)

type callOptions struct {
	options
	chat, url, tokenFile string
	json                 bool
}

func callCommand(sys system) *cobra.Command {
	var o callOptions
	cmd := &cobra.Command{
		Use:   "call TOOL [JSON]",
		Short: "Call one tool, as an agent would",
		Long: `Call one tool and print what an agent would read. Without --url the tool runs in
this very process, and what it started ends with it. With --url it asks a running
server, with the token that proctor serve uses. JSON - reads standard input.`,
		Example: `  proctor call process_start '{"command": "go test ./..."}'
  proctor call --url http://127.0.0.1:7337/mcp process_list`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return callTool(cmd.Context(), sys, &o, args) },
	}
	o.register(cmd.Flags())
	flags := cmd.Flags()
	flags.StringVar(&o.chat, "chat-id", "", "chat to call for; by default $"+chatVariable)
	flags.StringVar(&o.url, "url", "", "Streamable HTTP address of a running server, http://HOST:PORT/mcp")
	flags.StringVar(&o.tokenFile, "token-file", "", "file that holds the token for --url")
	flags.BoolVar(&o.json, "json", false, "print the structured content instead of the text")
	flags.Lookup("workdir").Usage = "directory that processes start in; by default this one, unless it is /"
	flags.Lookup("log-level").DefValue = "warn"
	o.log.level = "warn"
	return cmd
}

func callTool(ctx context.Context, sys system, o *callOptions, args []string) error {
	text := "{}"
	if len(args) == 2 {
		text = args[1]
	}
	if text == "-" {
		input, err := io.ReadAll(sys.stdin)
		if err != nil {
			return failure{err}
		}
		text = string(input)
	}
	if !json.Valid([]byte(text)) {
		return usage("the arguments of %s are not JSON; write them as '{\"name\": \"value\"}'", args[0])
	}
	id, err := stdioIdentity(sys, o.chat)
	if err != nil {
		return err
	}
	ask := callHere
	if o.url != "" {
		ask = callServer
	}
	result, err := ask(ctx, sys, o, id, args[0], json.RawMessage(text))
	if err != nil {
		return err
	}
	return printResult(sys.stdout, result, o.json)
}

// callHere answers out of a process manager of its own.
func callHere(ctx context.Context, sys system, o *callOptions, id caller.Identity, tool string, arguments json.RawMessage) (*mcp.CallToolResult, error) {
	if o.workdir == "" {
		o.workdir = startDirectory()
	}
	p, err := o.program(sys)
	if err != nil {
		return nil, err
	}
	result, err := func() (*mcp.CallToolResult, error) {
		c, err := client.NewInProcessClient(p.tools.Server(version))
		if err != nil {
			return nil, failure{err}
		}
		defer c.Close()
		return ask(caller.WithIdentity(ctx, id), c, tool, arguments)
	}()
	scope := procmgr.NoChat(id.Token)
	if id.DefaultChat != "" {
		scope = procmgr.Chat(id.DefaultChat)
	}
	if running, _ := p.manager.List(scope, procmgr.FilterRunning, 1); len(running) > 0 {
		fmt.Fprintln(sys.stderr, "proctor: ending what this call started; to keep it, run proctor serve and call with --url")
	}
	return result, errors.Join(err, p.close())
}

// callServer asks a running server.
func callServer(ctx context.Context, sys system, o *callOptions, id caller.Identity, tool string, arguments json.RawMessage) (*mcp.CallToolResult, error) {
	headers := map[string]string{}
	t, err := findToken(sys, o.tokenFile, false)
	if err == nil {
		headers["Authorization"] = "Bearer " + t.secret
	} else if o.tokenFile != "" {
		return nil, err
	}
	if id.DefaultChat != "" {
		headers[o.rules.Header] = id.DefaultChat
	}
	c, err := client.NewStreamableHttpClient(o.url, mcptransport.WithHTTPHeaders(headers))
	if err != nil {
		return nil, usage("--url is %q; it must be http://HOST:PORT/mcp", o.url)
	}
	defer c.Close()
	result, err := ask(ctx, c, tool, arguments)
	switch {
	case errors.Is(err, mcptransport.ErrAuthorizationRequired):
		return nil, failure{fmt.Errorf("%s wants another token (401); set %s or --token-file to the one that it was started with", o.url, tokenVariable)}
	case errors.As(err, new(usageError)):
		return nil, err
	case err != nil:
		return nil, failure{fmt.Errorf("no answer from %s: %w", o.url, err)}
	}
	return result, nil
}

func ask(ctx context.Context, c *client.Client, tool string, arguments json.RawMessage) (*mcp.CallToolResult, error) {
	if err := c.Start(ctx); err != nil {
		return nil, err
	}
	var greeting mcp.InitializeRequest
	greeting.Params.ProtocolVersion = mcp.LATEST_PROTOCOL_VERSION
	greeting.Params.ClientInfo = mcp.Implementation{Name: "proctor", Version: version}
	if _, err := c.Initialize(ctx, greeting); err != nil {
		return nil, err
	}
	known, err := c.ListTools(ctx, mcp.ListToolsRequest{})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, t := range known.Tools {
		names = append(names, t.Name)
	}
	if !slices.Contains(names, tool) {
		return nil, usage("there is no tool %q; there are %s", tool, strings.Join(names, ", "))
	}
	var request mcp.CallToolRequest
	request.Params.Name = tool
	request.Params.RawArguments = arguments
	return c.CallTool(ctx, request)
}

func printResult(w io.Writer, result *mcp.CallToolResult, structured bool) error {
	var text strings.Builder
	for _, content := range result.Content {
		if t, ok := content.(mcp.TextContent); ok {
			text.WriteString(t.Text)
		}
	}
	if structured && !result.IsError {
		data, err := json.MarshalIndent(result.StructuredContent, "", "  ")
		if err != nil {
			return failure{err}
		}
		text.Reset()
		text.Write(data)
	}
	fmt.Fprintln(w, strings.TrimSuffix(text.String(), "\n"))
	if result.IsError {
		return errRefused
	}
	return nil
}
