// Package transport brings requests in: lines on stdio, Streamable HTTP at /mcp, and the
// legacy HTTP+SSE transport at /sse and /message. All lead to one [Server], which answers
// tool calls with package tools and everything else with the MCP library (library.go).
//
// guard.go decides what HTTP lets through before anything else sees a byte of it, and
// token.go who may come in.
//
// # Goroutines
//
// Stdio has one that reads, and one for each request whose turn it is (tools.Call). Serve
// waits for the requests, a second at most. It does not wait for the reader: a read of
// stdin, or a write that nobody reads, cannot be interrupted, and ends with the program
// or with the client. The requests of a legacy event stream have such goroutines as well;
// all other goroutines of HTTP are those of net/http.
package transport
