// Package transport is how requests come in: lines on stdio, Streamable HTTP at
// /mcp, and the legacy HTTP+SSE transport at /sse and /message. All of them lead
// to one MCPServer.
//
// What HTTP lets through is decided in guard.go before a byte reaches the MCP
// library; who is let in, in token.go.
//
// # Goroutines
//
// ServeStdio has one that reads and one for each tool call on its way. It waits
// for the calls, not for the reader: a read of stdin cannot be interrupted, and
// ends with the program or with its input. net/http owns those of HTTP.
package transport
