// Package transport is how requests come in: lines on stdio, Streamable HTTP at
// /mcp, and the legacy HTTP+SSE transport at /sse and /message. All of them lead
// to one MCPServer.
//
// What HTTP lets through is decided in guard.go before a byte reaches the MCP
// library; who is let in, in token.go.
//
// # Goroutines
//
// Stdio has one that reads and one for each request on its way. It waits for
// the requests, a second at most, and not for the reader: a read of stdin or a
// write that nobody reads cannot be interrupted, and ends with the program or
// with the client. net/http owns those of HTTP.
package transport
