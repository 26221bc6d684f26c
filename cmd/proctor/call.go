package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/client"
	mcptransport "github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/proctor-mcp/proctor/caller"
	"github.com/proctor-mcp/proctor/probe"
	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/tools"
	"github.com/proctor-mcp/proctor/transport"
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
		Long: `Call one tool and print what an agent would read. Without --url, the tool runs in
this program, which ends what the tool started. With --url, it asks a running
server, with the token that proctor serve uses. JSON - reads standard input.`,
		Example: `  proctor call process_start '{"command": "go test ./..."}'
  proctor call --url http://127.0.0.1:7337/mcp process_list`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usage("call takes a tool and, in quotes, its arguments as JSON, and got %d words; an example: proctor call process_list '{\"state\": \"running\"}'", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkSide(cmd.Flags(), o.url != ""); err != nil {
				return err
			}
			return callTool(cmd.Context(), sys, &o, args)
		},
	}
	o.register(cmd.Flags())
	limited(cmd, o.registerLimits)
	flags := cmd.Flags()
	flags.StringVar(&o.chat, "chat-id", "", "chat to call for; by default $"+chatVariable)
	flags.StringVar(&o.url, "url", "", "Streamable HTTP address of a running server, http://HOST:PORT/mcp")
	flags.StringVar(&o.tokenFile, "token-file", "", "file that holds the token for --url")
	flags.BoolVar(&o.json, "json", false, "print the structured content instead of the text")
	flags.Lookup("workdir").Usage = "directory that processes start in; by default the current one, unless that is /"
	flags.Lookup("log-level").DefValue = "warn"
	o.log.level = "warn"
	return cmd
}

// checkSide refuses flags that have no effect with --url, or no effect without it.
func checkSide(flags *pflag.FlagSet, server bool) (err error) {
	flags.Visit(func(f *pflag.Flag) {
		switch f.Name {
		case "url", "json", "chat-id", "log-level", "log-format", "help":
		case "token-file", "chat-header":
			if !server {
				err = usage("--%s goes with --url; add it, or leave this one out", f.Name)
			}
		default:
			if server {
				err = usage("--%s has no effect with --url: the server was started with its own; leave it out", f.Name)
			}
		}
	})
	return err
}

func callTool(ctx context.Context, sys system, o *callOptions, args []string) error {
	text := "{}"
	if len(args) == 2 {
		text = args[1]
	}
	if text == "-" {
		input, err := readAll(ctx, sys.stdin)
		if err != nil {
			return failure{err}
		}
		text = string(input)
	}
	var any any
	if err := json.Unmarshal([]byte(text), &any); err != nil {
		return usage("the arguments of %s are not JSON (%v): %.80s\nWrite them as '{\"name\": \"value\"}'", args[0], err, text)
	}
	// A server refuses these as well: of two equal keys some readers take the first and
	// some the last.
	var bad *jsontext.SyntacticError
	switch _, err := jsontext.AppendFormat(nil, text); {
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &bad):
		return usage("the arguments of %s have the key %q twice; leave one out", args[0], bad.JSONPointer.LastToken())
	case err != nil:
		return usage("the arguments of %s are not valid UTF-8: %.80q", args[0], text)
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

// readAll reads to the end, or until ctx ends.
func readAll(ctx context.Context, r io.Reader) (text []byte, err error) {
	read := make(chan struct{})
	go func() {
		text, err = io.ReadAll(io.LimitReader(r, transport.MaxBodyBytes))
		close(read)
	}()
	select {
	case <-read:
		return text, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// callHere calls a tool of this program.
func callHere(ctx context.Context, sys system, o *callOptions, id caller.Identity, tool string, arguments json.RawMessage) (*mcp.CallToolResult, error) {
	if o.workdir == "" {
		o.workdir = startDirectory()
	}
	p, err := o.program(sys)
	if err != nil {
		return nil, err
	}
	result, err := func() (*mcp.CallToolResult, error) {
		if !p.tools.Has(tool) {
			var names []string
			for _, d := range p.tools.Definitions() {
				names = append(names, d.Name)
			}
			return nil, unknownTool(tool, names)
		}
		reply := p.tools.Call(ctx, tools.Request{Tool: tool, Arguments: arguments, Identity: id})
		return &mcp.CallToolResult{
			Content: []mcp.Content{mcp.NewTextContent(reply.Text)}, StructuredContent: reply.Data, IsError: reply.Failed,
		}, nil
	}()
	scope := procmgr.NoChat(id.Token)
	if id.DefaultChat != "" {
		scope = procmgr.Chat(id.DefaultChat)
	}
	if running, _ := p.manager.In(scope).List(procmgr.FilterRunning, 1); len(running) > 0 {
		fmt.Fprintln(sys.stderr, "proctor: ending what this call started; to keep it running, start proctor serve and call with --url")
	}
	return result, errors.Join(err, p.close())
}

// callServer calls a tool of a running server.
func callServer(ctx context.Context, sys system, o *callOptions, id caller.Identity, tool string, arguments json.RawMessage) (*mcp.CallToolResult, error) {
	u, err := url.Parse(o.url)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") == "" || strings.HasSuffix(u.Path, "/sse") || strings.HasSuffix(u.Path, "/message") {
		return nil, usage("--url is %q; it must be http://HOST:PORT/mcp", o.url)
	}
	headers := map[string]string{}
	if o.tokenFile != "" || sys.getenv(tokenVariable) != "" || probe.Loopback(u.Hostname()) != nil {
		// The token that serve keeps is for this machine alone. A server that wants one and
		// gets none says so.
		t, err := findToken(sys, o.tokenFile)
		switch {
		case err == nil:
			headers["Authorization"] = "Bearer " + t.secret
		case !errors.Is(err, fs.ErrNotExist) || o.tokenFile != "":
			return nil, err
		}
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
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, failure{fmt.Errorf("nothing listens at %s; start it with: proctor serve", o.url)}
	case errors.Is(err, mcptransport.ErrLegacySSEServer):
		return nil, failure{fmt.Errorf("there is no MCP server at %s; the path is /mcp", o.url)}
	case err != nil:
		return nil, failure{fmt.Errorf("no answer of an MCP server from %s: %.200v", o.url, tools.Cause(err))}
	}
	return result, nil
}

// greetTime is how long a server may take until it has listed its tools. A call may
// take longer.
const greetTime = 10 * time.Second

func ask(ctx context.Context, c *client.Client, tool string, arguments json.RawMessage) (*mcp.CallToolResult, error) {
	if err := c.Start(ctx); err != nil {
		return nil, err
	}
	names, err := greet(ctx, c)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(names, tool) {
		return nil, unknownTool(tool, names)
	}
	var request mcp.CallToolRequest
	request.Params.Name = tool
	request.Params.RawArguments = arguments
	return c.CallTool(ctx, request)
}

func unknownTool(tool string, names []string) error {
	slices.Sort(names)
	return usage("there is no tool %q; there are %s", tool, strings.Join(names, ", "))
}

// greet begins a session and returns the names of the tools.
func greet(ctx context.Context, c *client.Client) (names []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, greetTime)
	defer cancel()
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
	for _, t := range known.Tools {
		names = append(names, t.Name)
	}
	return names, nil
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
