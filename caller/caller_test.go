package caller

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/proctor-mcp/proctor/procmgr"
)

func TestResolve(t *testing.T) {
	long := strings.Repeat("x", 129)
	chat := func(values ...string) map[string][]string { return http.Header{"Coder-Chat-Id": values} }
	for _, c := range []struct {
		what   string
		id     Identity
		header map[string][]string
		meta   map[string]any
		want   procmgr.Scope
		err    error
	}{
		{"nothing", Identity{Token: "t"}, nil, nil, procmgr.NoChat("t"), nil},
		{"header", Identity{}, chat("a/b:c"), nil, procmgr.Chat("a/b:c"), nil},
		{"header twice", Identity{}, chat("a", "a"), nil, procmgr.Scope{}, ErrConflict},
		{"header invalid", Identity{}, chat("a b"), nil, procmgr.Scope{}, ErrInvalid},
		{"header empty", Identity{}, chat(""), nil, procmgr.Scope{}, ErrInvalid},
		{"header too long", Identity{}, chat(long), nil, procmgr.Scope{}, ErrInvalid},
		{"meta", Identity{}, nil, map[string]any{"coder.com/chat-id": "m"}, procmgr.Chat("m"), nil},
		{"meta no string", Identity{}, nil, map[string]any{"coder.com/chat-id": 1.0}, procmgr.Scope{}, ErrInvalid},
		{"meta empty", Identity{}, nil, map[string]any{"coder.com/chat-id": ""}, procmgr.Scope{}, ErrInvalid},
		{"both the same", Identity{}, chat("a"), map[string]any{"coder.com/chat-id": "a"}, procmgr.Chat("a"), nil},
		{"both differ", Identity{}, chat("a"), map[string]any{"coder.com/chat-id": "b"}, procmgr.Scope{}, ErrConflict},
		{"session key", Identity{}, nil, map[string]any{"openai/session": "v1/abc"}, procmgr.Chat("v1/abc"), nil},
		{"session keys in order", Identity{}, nil, map[string]any{"threadId": "t", "vscode.conversationId": "v"}, procmgr.Chat("v"), nil},
		{"session key outside the alphabet", Identity{}, nil, map[string]any{"threadId": "a b"},
			procmgr.Chat("s-c8687a08aa5d6ed2044328fa6a697ab8"), nil},
		{"named beats session", Identity{}, chat("a"), map[string]any{"threadId": "t"}, procmgr.Chat("a"), nil},
		{"default", Identity{DefaultChat: "d"}, nil, nil, procmgr.Chat("d"), nil},
		{"default invalid", Identity{DefaultChat: "a b"}, nil, nil, procmgr.Scope{}, ErrInvalid},
		{"session beats default", Identity{DefaultChat: "d"}, nil, map[string]any{"threadId": "t"}, procmgr.Chat("t"), nil},
		{"bound", Identity{Bound: "b"}, nil, nil, procmgr.Chat("b"), nil},
		{"bound and named the same", Identity{Bound: "b"}, chat("b"), nil, procmgr.Chat("b"), nil},
		{"bound and named otherwise", Identity{Bound: "b"}, chat("c"), nil, procmgr.Scope{}, ErrConflict},
		{"bound and a prefix of it named", Identity{Bound: "bb"}, chat("b"), nil, procmgr.Scope{}, ErrConflict},
		{"bound, a session says nothing", Identity{Bound: "b"}, nil, map[string]any{"threadId": "t"}, procmgr.Chat("b"), nil},
		{"prefix", Identity{Bound: "u1/"}, chat("u1/c"), nil, procmgr.Chat("u1/c"), nil},
		{"prefix, outside it", Identity{Bound: "u1/"}, chat("u2/c"), nil, procmgr.Scope{}, ErrConflict},
		{"prefix, session below it", Identity{Bound: "u1:"}, nil, map[string]any{"threadId": "t"}, procmgr.Chat("u1:t"), nil},
		{"prefix, session of that prefix", Identity{Bound: "u1:"}, nil, map[string]any{"threadId": "u1:t"}, procmgr.Chat("u1:t"), nil},
		{"prefix, session too long for it", Identity{Bound: "u1:"}, nil, map[string]any{"threadId": long[:128]},
			procmgr.Chat("u1:s-24da1b81d0b16df6428eee73c69fcb2a"), nil},
		{"prefix, default outside it", Identity{Bound: "u1:", DefaultChat: "d"}, nil, nil, procmgr.Scope{}, ErrConflict},
		{"prefix, no chat", Identity{Bound: "u1.", Token: "t"}, nil, nil, procmgr.NoChat("t"), nil},
	} {
		got, err := DefaultRules().Resolve(c.id, c.header, c.meta)
		if got.Scope != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: got %v, %v; want %v, %v", c.what, got.Scope, err, c.want, c.err)
		}
	}
}

func TestRequireChat(t *testing.T) {
	r := DefaultRules()
	r.RequireChat = true
	if _, err := r.Resolve(Identity{}, nil, nil); !errors.Is(err, ErrNoChat) || !strings.Contains(err.Error(), "Coder-Chat-Id") {
		t.Errorf("got %v", err)
	}
	if _, err := r.Resolve(Identity{DefaultChat: "d"}, nil, nil); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestToolCallAndAncestors(t *testing.T) {
	header := http.Header{"Coder-Tool-Call-Id": {strings.Repeat("t", 300)}, "Coder-Ancestor-Chat-Ids": {"a,b"}}
	c, err := DefaultRules().Resolve(Identity{}, header, map[string]any{"claudecode/toolUseId": "u"})
	if err != nil || len(c.ToolCallID) != 256 || c.Ancestors != "a,b" {
		t.Errorf("got %+v, %v", c, err)
	}
	c, err = DefaultRules().Resolve(Identity{}, nil, map[string]any{"claudecode/toolUseId": "u"})
	if err != nil || c.ToolCallID != "u" || len(c.LogAttrs()) != 2 {
		t.Errorf("got %+v, %v", c, err)
	}
}
