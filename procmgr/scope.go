package procmgr

import "strings"

// Scope is who asks: a chat, or the callers without a chat of one token. Processes of one
// scope do not exist for another. Scopes can be compared with ==. The zero Scope is
// refused.
type Scope struct {
	kind scopeKind
	id   string
}

type scopeKind byte

const (
	chatScope scopeKind = iota + 1
	noChatScope
)

// Chat returns the scope of one chat. Its id must be valid ([ValidChatID]).
func Chat(id string) Scope { return Scope{chatScope, id} }

// NoChat returns the scope of the callers that name no chat and are let in by one token.
// token is the name of that token, not its secret.
func NoChat(token string) Scope { return Scope{noChatScope, token} }

// ChatID returns the id of the chat, or "" if the scope is not a chat.
func (s Scope) ChatID() string {
	if s.kind != chatScope {
		return ""
	}
	return s.id
}

// String returns the id of the chat, or "no chat" and the token. No chat id has a blank.
func (s Scope) String() string {
	switch s.kind {
	case chatScope:
		return s.id
	case noChatScope:
		return "no chat " + s.id
	}
	return "no scope"
}

// name returns a name for spawn.Command that no other scope has.
func (s Scope) name() string { return string('0'+s.kind) + s.id }

func (s Scope) valid() bool {
	return s.kind == noChatScope || s.kind == chatScope && ValidChatID(s.id)
}

// MaxChatIDBytes is the length of the longest chat id.
const MaxChatIDBytes = 128

// ValidChatID reports whether id is 1 to 128 of A-Z a-z 0-9 . _ : @ / + = -
func ValidChatID(id string) bool {
	return id != "" && len(id) <= MaxChatIDBytes && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && !strings.ContainsRune("._:@/+=-", r)
	})
}
