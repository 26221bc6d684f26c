package tools

import (
	"sync"

	"github.com/proctor-mcp/proctor/procmgr"
)

// limits limit the calls in progress, so that no chat and no token fills the server with
// calls that wait.
type limits struct {
	perChat, perToken int // 0 is no limit

	mu     sync.Mutex            // guards the fields below
	chats  map[procmgr.Scope]int // calls in progress
	tokens map[string]int
}

func newLimits(perChat, perToken int) *limits {
	return &limits{
		perChat: perChat, perToken: perToken,
		chats: map[procmgr.Scope]int{}, tokens: map[string]int{},
	}
}

// inProgress returns how many calls are in progress.
func (l *limits) inProgress() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, calls := range l.tokens {
		n += calls
	}
	return n
}

// begin counts a call, or returns a *busyError. spare is how many calls beyond the limits
// it accepts. The returned function ends the call.
func (l *limits) begin(scope procmgr.Scope, token string, spare int) (end func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.perChat > 0 && l.chats[scope] >= l.perChat+spare:
		return nil, &busyError{"this chat", l.perChat, "--max-calls-per-chat"}
	case l.perToken > 0 && l.tokens[token] >= l.perToken+spare:
		return nil, &busyError{"this client's token", l.perToken, "--max-calls-per-token"}
	}
	l.chats[scope]++
	l.tokens[token]++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.chats[scope]--; l.chats[scope] == 0 {
			delete(l.chats, scope)
		}
		if l.tokens[token]--; l.tokens[token] == 0 {
			delete(l.tokens, token)
		}
	}, nil
}
