package procmgr

import "strings"

// Scope is who asks. Processes of one scope do not exist for another. Scopes
// are comparable; the zero Scope is nobody's and is refused.
type Scope struct {
	kind scopeKind
	id   string
}

type scopeKind byte

const (
	chatScope scopeKind = iota + 1
	noChatScope
)

// Chat is the scope of one chat. Its id must be a valid one ([ValidChatID]).
func Chat(id string) Scope { return Scope{chatScope, id} }

// NoChat is the scope of the callers that name no chat. Each token (each way of
// being let in) has its own; token is a name for it, not its secret.
func NoChat(token string) Scope { return Scope{noChatScope, token} }

// ChatID returns the chat's id, or "" for a scope that is no chat's.
func (s Scope) ChatID() string {
	if s.kind != chatScope {
		return ""
	}
	return s.id
}

// String names the scope to people: by its chat id, or by its token with a blank
// that no chat id has.
func (s Scope) String() string {
	switch s.kind {
	case chatScope:
		return s.id
	case noChatScope:
		return "no chat " + s.id
	}
	return "no scope"
}

// name tells scopes apart in spawn.Command.
func (s Scope) name() string { return string('0'+s.kind) + s.id }

func (s Scope) valid() bool {
	return s.kind == noChatScope || s.kind == chatScope && ValidChatID(s.id)
}

// MaxChatIDBytes is the longest chat id.
const MaxChatIDBytes = 128

// ValidChatID reports whether id is 1 to 128 of A-Z a-z 0-9 . _ : @ / + = -
func ValidChatID(id string) bool {
	return id != "" && len(id) <= MaxChatIDBytes && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && !strings.ContainsRune("._:@/+=-", r)
	})
}
