package transport

import (
	"encoding/json"
	"net/http"
)

// Names and numbers of JSON-RPC 2.0 and of MCP.
const (
	codeParse          = -32700
	codeInvalidRequest = -32600
	codeNoMethod       = -32601
	codeInvalidParams  = -32602
	codeInternal       = -32603
	codeNoResource     = -32002 // until protocol 2025-11-25
	codeHeaders        = -32020 // header mismatch
	codeCapability     = -32021 // missing required client capability
	codeVersion        = -32022 // unsupported protocol version

	methodInitialize = "initialize"
	methodCall       = "tools/call"
	methodRead       = "resources/read"
	methodListen     = "subscriptions/listen"
	methodCancelled  = "notifications/cancelled"

	metaProtocol   = "io.modelcontextprotocol/protocolVersion"
	metaServerInfo = "io.modelcontextprotocol/serverInfo"
)

// isModern reports whether a protocol version is 2026-07-28 or later: since then there
// is no greeting, and each request says what it speaks.
func isModern(version string) bool { return version >= "2026-07-28" }

// protocolError is the error in a JSON-RPC response.
type protocolError struct {
	id   json.RawMessage // of the request; nil if it is not known
	code int
	text string
	data any // nil for none
}

// statusOf returns the HTTP status that protocol 2026-07-28 prescribes for an error.
// Before it, everything that the server has understood is answered with 200.
func statusOf(code int) int {
	switch code {
	case codeNoMethod:
		return http.StatusNotFound
	case codeParse, codeInvalidRequest, codeInvalidParams, codeHeaders, codeVersion, codeCapability:
		return http.StatusBadRequest
	default:
		return http.StatusOK
	}
}
