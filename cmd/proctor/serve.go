package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/proctor-mcp/proctor/probe"
	"github.com/proctor-mcp/proctor/tools"
	"github.com/proctor-mcp/proctor/transport"
)

const (
	defaultListen = "127.0.0.1:7337"
	// maxSocketPath is the longest path of a socket, in bytes (unix(7)).
	maxSocketPath = 107
)

type serveOptions struct {
	options
	listen                   []string
	allowHosts, allowOrigins []string
	tokenFile                string
	noAuth                   bool

	maxConnections, maxStreams int
}

func serveCommand(sys system) *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve many clients over HTTP",
		Long: `Serve MCP over Streamable HTTP at /mcp and over legacy SSE at /sse. Every
request must carry the token: $PROCTOR_TOKEN, --token-file, or one that the first
start makes and keeps in $XDG_STATE_HOME/proctor/token.`,
		Example: "  proctor serve --listen 127.0.0.1:8080",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return serve(cmd, sys, &o) },
	}
	o.register(cmd.Flags())
	limited(cmd, o.registerLimits, o.registerServeLimits)
	flags := cmd.Flags()
	flags.StringArrayVar(&o.listen, "listen", []string{defaultListen}, "address to listen on, HOST:PORT or unix:PATH; repeatable")
	flags.StringSliceVar(&o.allowHosts, "allow-host", nil, "Host header to accept beside loopback: HOST with any port, or HOST:PORT; repeatable")
	flags.StringSliceVar(&o.allowOrigins, "allow-origin", nil, "origin of web pages that may call, such as https://example.com; repeatable")
	flags.StringVar(&o.tokenFile, "token-file", "", "file that holds the token, mode 0600")
	flags.BoolVar(&o.noAuth, "no-auth", false, "ask for no token; every local user can then run commands as you")
	return cmd
}

func (o *serveOptions) registerServeLimits(flags *pflag.FlagSet) {
	flags.IntVar(&o.maxConnections, "max-connections", 4096, "serve: connections open at a time on each address; 0 is as many as descriptors allow")
	flags.IntVar(&o.maxStreams, "max-streams-per-token", 256, "serve: event streams of a token open at a time")
}

func serve(cmd *cobra.Command, sys system, o *serveOptions) error {
	if err := o.checkAddresses(); err != nil {
		return err
	}
	o.isServer = true
	p, err := o.program(sys)
	if err != nil {
		return err
	}
	err = serveWith(cmd, sys, o, p)
	return cmp.Or(err, p.close()) // whatever went wrong, nothing stays behind
}

func serveWith(cmd *cobra.Command, sys system, o *serveOptions, p *program) error {
	h := &transport.HTTP{
		Server: transport.NewServer(p.tools, version, p.log.Logger), Identify: transport.Anyone,
		AllowHosts: o.allowHosts, AllowOrigins: o.allowOrigins,
		MaxConnections: o.maxConnections, MaxStreamsPerToken: o.maxStreams,
		Log: p.log.Logger,
	}
	tokenFrom := ""
	if !o.noAuth {
		keeper, err := keepTokens(sys, o.tokenFile, p.log.Logger)
		if err != nil {
			return err
		}
		h.Identify, tokenFrom = keeper.identify, keeper.from
	}

	var listeners []net.Listener
	for _, address := range o.listen {
		l, err := transport.Listen(address, p.log.Logger)
		if err != nil {
			for _, l := range listeners {
				l.Close()
			}
			return failure{fmt.Errorf("cannot listen on %s: %w; %s", address, tools.Cause(err), listenHint(address, err))}
		}
		listeners = append(listeners, l)
	}
	for i, l := range listeners {
		address := l.Addr().String()
		if l.Addr().Network() == "unix" {
			address = "unix:" + address
		}
		p.log.Info("listening", "address", address, "paths", "/mcp /sse", "token", tokenFrom)
		if host, _, _ := net.SplitHostPort(o.listen[i]); !strings.HasPrefix(o.listen[i], "unix:") && probe.Loopback(host) == nil {
			p.log.Warn("others on the network can reach this address, and the token travels unencrypted; put TLS in front, and name the hosts that clients use with --allow-host", "address", o.listen[i])
		}
	}
	if o.noAuth && !slices.ContainsFunc(o.listen, func(a string) bool { return !strings.HasPrefix(a, "unix:") }) {
		p.log.Info("serving without a token: this user alone can connect")
	} else if o.noAuth {
		p.log.Warn("serving without a token: every local user and program can run commands as this user")
	}
	if isTerminal(sys.stdout) {
		welcome(sys.stdout, listeners[0].Addr().String(), tokenFrom)
	}
	if err := h.Serve(cmd.Context(), listeners...); err != nil {
		return failure{err}
	}
	return nil
}

// listenHint says what to do when Proctor cannot listen on an address.
func listenHint(address string, err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "if Proctor does not run there already, choose another address with --listen"
	case errors.Is(err, syscall.EACCES):
		return "give --listen a port above 1023, or a path where you may make files"
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENOTDIR):
		return "make the folder of the path first"
	case strings.HasPrefix(address, "unix:"):
		return "choose another path with --listen"
	default:
		return "give --listen an address of this machine"
	}
}

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

// checkAddresses refuses addresses that would open the machine by accident.
func (o *serveOptions) checkAddresses() error {
	for _, address := range o.listen {
		host, port, err := net.SplitHostPort(address)
		switch {
		case strings.HasPrefix(address, "unix:"):
			if path := strings.TrimPrefix(address, "unix:"); path == "" || path[0] == '@' || len(path) > maxSocketPath {
				return usage("--listen is %q; it must be unix:PATH, the path of a file of at most %d bytes", address, maxSocketPath)
			}
		case strings.Contains(address, ","):
			return usage("--listen is %q; repeat the flag for more than one address", address)
		case err != nil:
			return usage("--listen is %q; it must be HOST:PORT, such as %s, or unix:PATH", address, defaultListen)
		case host == "":
			return usage("--listen is %q, which is every network of this machine; name a host, such as 127.0.0.1%s", address, address)
		case !isPort(port):
			return usage("--listen is %q; its port must be a number up to 65535, such as in %s; 0 is any that is free", address, defaultListen)
		case o.noAuth && probe.Loopback(host) == nil:
			return usage("--no-auth works on loopback only, and --listen is %q; leave --no-auth out", address)
		}
	}
	if err := cmp.Or(atLeastZero("max-connections", o.maxConnections), atLeastZero("max-streams-per-token", o.maxStreams)); err != nil {
		return err
	}
	if o.noAuth && o.tokenFile != "" {
		return usage("--no-auth and --token-file contradict each other; leave one out")
	}
	for _, host := range o.allowHosts {
		if strings.ContainsAny(host, "*/ ") || host == "" {
			return usage("--allow-host is %q; it must be a host name or HOST:PORT as clients send it", host)
		}
	}
	for _, origin := range o.allowOrigins {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Scheme+"://"+u.Host != origin || strings.Contains(origin, "*") {
			return usage("--allow-origin is %q; it must be SCHEME://HOST[:PORT], such as https://example.com", origin)
		}
	}
	return nil
}

// welcome tells a person what to do next. It never shows the token.
func welcome(w io.Writer, address, tokenFrom string) {
	endpoint := "http://" + address + "/mcp"
	fmt.Fprintf(w, "\nProctor listens on %s\n", endpoint)
	header := ""
	if tokenFrom != "" {
		fmt.Fprintf(w, "The token is in %s\n", tokenFrom)
		header = `, "headers": {"Authorization": "Bearer ${PROCTOR_TOKEN}"}`
	}
	fmt.Fprintf(w, `
For a client (it takes the token from its environment):
  {"mcpServers": {"proctor": {"type": "http", "url": %q%s}}}
`, endpoint, header)
	if tokenFrom != "" && !strings.Contains(tokenFrom, tokenVariable) {
		fmt.Fprintf(w, "  export PROCTOR_TOKEN=\"$(cat '%s')\"\n", tokenFrom)
	}
	fmt.Fprintf(w, `
Try it:
  proctor call --url %s process_start '{"command": "echo hello"}'

`, endpoint)
}
