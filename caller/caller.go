// Package caller decides who asks: which chat a request belongs to. [Rules.Resolve] does
// that for every request of every transport.
package caller

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/textproto"
	"strings"

	"github.com/proctor-mcp/proctor/procmgr"
)

// Rules say where a request may name its chat.
type Rules struct {
	// Header is the HTTP header and MetaKey the key in _meta that name the chat.
	Header, MetaKey string
	// SessionKeys are keys in _meta in which known clients name the conversation without
	// being asked to. The first key that is present counts.
	SessionKeys []string
	// RequireChat refuses requests that name no chat.
	RequireChat bool
}

// DefaultRules returns the names that known clients use.
func DefaultRules() Rules {
	return Rules{
		Header:  "Coder-Chat-Id",
		MetaKey: "coder.com/chat-id",
		SessionKeys: []string{
			"openai/session", "vscode.conversationId", "ai.opencode/sessionID", "threadId",
		},
	}
}

// Identity is what a transport knows about the client before it reads the request.
type Identity struct {
	// Token is a name for the token that let the client in, never its secret.
	Token string
	// Bound is the chat that the token is bound to, or, if it ends in "/", ":" or ".",
	// a prefix of chats. The token is not bound if it is "".
	Bound string
	// DefaultChat is the chat of requests that name none.
	DefaultChat string
}

// Caller is who asks, and by which call.
type Caller struct {
	Scope      procmgr.Scope
	ToolCallID string // the client's id of the call, or ""
	Ancestors  string // chats that led to this one, or ""
	// TraceParent and TraceState are the W3C trace context of the call, or "".
	TraceParent, TraceState string
}

// TraceEnv returns the trace context as variables for a child's environment.
func (c Caller) TraceEnv() map[string]string {
	if c.TraceParent == "" {
		return nil
	}
	env := map[string]string{"TRACEPARENT": c.TraceParent}
	if c.TraceState != "" {
		env["TRACESTATE"] = c.TraceState
	}
	return env
}

// trace takes the trace context from _meta, or else from the headers. It ignores an invalid
// one, as the specification asks.
func (c *Caller) trace(header map[string][]string, meta map[string]any) {
	parent, _ := meta["traceparent"].(string)
	state, _ := meta["tracestate"].(string)
	if parent == "" && len(header["Traceparent"]) < 2 {
		parent, state = first(header, "Traceparent"), strings.Join(header["Tracestate"], ",")
	}
	if !validTraceParent(parent) {
		return
	}
	c.TraceParent = parent
	if len(state) <= 512 && !strings.ContainsFunc(state, func(r rune) bool { return r < ' ' || r > '~' }) {
		c.TraceState = state
	}
}

// validTraceParent checks the form version-traceid-parentid-flags, in lower-case
// hex digits; ids of zeros and version ff are invalid (W3C Trace Context, section 3.2).
func validTraceParent(s string) bool {
	parts := strings.Split(s, "-")
	if len(parts) != 4 || len(parts[0]) != 2 || len(parts[1]) != 32 || len(parts[2]) != 16 || len(parts[3]) != 2 {
		return false
	}
	hexDigits := !strings.ContainsFunc(strings.Join(parts, ""), func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'f') })
	return hexDigits && parts[0] != "ff" && strings.Trim(parts[1], "0") != "" && strings.Trim(parts[2], "0") != ""
}

// LogAttrs returns what every log record of the call carries.
func (c Caller) LogAttrs() []any {
	return append([]any{slog.String("chat_id", c.Scope.String())}, c.CallAttrs()...)
}

// CallAttrs is LogAttrs without the chat, for records that name it themselves.
func (c Caller) CallAttrs() (attrs []any) {
	if c.ToolCallID != "" {
		attrs = append(attrs, slog.String("tool_call_id", c.ToolCallID))
	}
	if c.Ancestors != "" {
		attrs = append(attrs, slog.String("ancestor_chat_ids", c.Ancestors))
	}
	if c.TraceParent != "" {
		attrs = append(attrs, slog.String("traceparent", c.TraceParent))
	}
	return attrs
}

var (
	// ErrNoChat: the request names no chat, and must name one.
	ErrNoChat = errors.New("no chat is named")
	// ErrConflict: the request names two chats, or one that its token does not allow.
	ErrConflict = errors.New("contradiction")
	// ErrInvalid: the value that names the chat is not a chat id.
	ErrInvalid = errors.New("not a chat id")
)

// Resolve decides who asks. In this order:
//
//  1. A token that is bound to a chat, or to a prefix of chats, decides. A header or key
//     that names another chat is refused; a conversation of 3 gets the prefix.
//  2. The header and the key in _meta. Two that differ are refused, and so is a header
//     that is sent twice.
//  3. The session keys of known clients in _meta. A value that is not a chat id is
//     replaced by one that is made from its SHA-256.
//  4. The default of the transport.
//  5. No chat: a scope of its own for each token.
//
// header and meta may be nil. Errors wrap ErrNoChat, ErrConflict or ErrInvalid. The Caller
// that is returned with an error has no scope, only what the log needs.
func (r Rules) Resolve(id Identity, header map[string][]string, meta map[string]any) (Caller, error) {
	c := Caller{
		ToolCallID: first(header, "Coder-Tool-Call-Id"),
		Ancestors:  clip(first(header, "Coder-Ancestor-Chat-Ids")),
	}
	if use, ok := meta["claudecode/toolUseId"].(string); ok && c.ToolCallID == "" {
		c.ToolCallID = use
	}
	c.ToolCallID = clip(c.ToolCallID)
	c.trace(header, meta)

	named, err := r.named(header, meta)
	if err != nil {
		return c, err
	}
	// A client that names its conversation without being asked to does not contradict a
	// bound token.
	session := r.session(meta)
	if session != "" && !strings.HasPrefix(session, id.Bound) {
		session = below(id.Bound, session)
	}
	chat := cmp.Or(named, session, id.DefaultChat)
	if exact(id.Bound) {
		chat = cmp.Or(named, id.Bound)
	}
	if id.Bound != "" && chat != "" && chat != id.Bound && (exact(id.Bound) || !strings.HasPrefix(chat, id.Bound)) {
		return c, fmt.Errorf("%w: its token is for %s, it names %s", ErrConflict, id.Bound, chat)
	}

	switch {
	case chat == "" && r.RequireChat:
		return c, fmt.Errorf("%w, and one is required: set the header %s, _meta %q, or on stdio --chat-id", ErrNoChat, r.Header, r.MetaKey)
	case chat == "":
		c.Scope = procmgr.NoChat(id.Token)
	case !procmgr.ValidChatID(chat):
		return c, invalid("the chat", chat)
	default:
		c.Scope = procmgr.Chat(chat)
	}
	return c, nil
}

// named returns the chat that the request names by the header or the key in _meta.
func (r Rules) named(header map[string][]string, meta map[string]any) (string, error) {
	values := header[textproto.CanonicalMIMEHeaderKey(r.Header)]
	if len(values) > 1 {
		return "", fmt.Errorf("%w: the header %s stands %d times", ErrConflict, r.Header, len(values))
	}
	chat := ""
	if len(values) == 1 {
		chat = values[0]
		if !procmgr.ValidChatID(chat) {
			return "", invalid("the header "+r.Header, chat)
		}
	}
	value, ok := meta[r.MetaKey]
	if !ok {
		return chat, nil
	}
	inMeta, ok := value.(string)
	switch {
	case !ok:
		return "", invalid("_meta "+r.MetaKey, fmt.Sprint(value))
	case !procmgr.ValidChatID(inMeta):
		return "", invalid("_meta "+r.MetaKey, inMeta)
	case chat != "" && chat != inMeta:
		return "", fmt.Errorf("%w: the header %s says %s, _meta %q says %s", ErrConflict, r.Header, chat, r.MetaKey, inMeta)
	}
	return inMeta, nil
}

// session returns the conversation that the request names by a session key, as a chat id.
func (r Rules) session(meta map[string]any) string {
	for _, key := range r.SessionKeys {
		value, _ := meta[key].(string)
		if value == "" {
			continue
		}
		return below("", value)
	}
	return ""
}

// below returns the chat of a conversation among the chats that begin with prefix. If the
// two make no chat id, it replaces the conversation by a name made from its SHA-256.
func below(prefix, conversation string) string {
	if chat := prefix + conversation; procmgr.ValidChatID(chat) {
		return chat
	}
	sum := sha256.Sum256([]byte(conversation))
	return prefix + "s-" + hex.EncodeToString(sum[:16])
}

// ValidBinding reports whether a token can be bound to s: a chat id, which is a prefix of
// chats if it ends in "/", ":" or ".".
func ValidBinding(s string) bool { return procmgr.ValidChatID(s) }

// exact reports whether a token is bound to one chat and not to a prefix.
func exact(bound string) bool {
	return bound != "" && !strings.ContainsAny(bound[len(bound)-1:], "/:.")
}

func first(header map[string][]string, key string) string {
	if values := header[key]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// clip limits what a stranger can write into the log.
func clip(s string) string { return s[:min(len(s), 256)] }

func invalid(what, value string) error {
	return fmt.Errorf("%s is %.60q, %w: 1 to 128 of A-Z a-z 0-9 . _ : @ / + = -", what, value, ErrInvalid)
}
