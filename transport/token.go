package transport

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/proctor-mcp/proctor/caller"
)

// MinTokenBytes is the shortest secret of a token.
const MinTokenBytes = 16

// Token is a secret that lets requests in. Only its digest is kept.
type Token struct {
	digest [sha256.Size]byte
	bound  string
}

// NewToken returns the token of a secret. bound is the chat, or the prefix of chats, that
// its requests may name; "" is any.
func NewToken(secret, bound string) Token {
	return Token{sha256.Sum256([]byte(secret)), bound}
}

// ParseTokens reads tokens, one a line, so that an old and a new one can be valid while
// clients change over:
//
//	SECRET          may name any chat
//	SECRET CHAT     only this chat
//	SECRET PREFIX/  only chats that begin so; the prefix ends in / : or .
//
// Empty lines and lines that begin with # are skipped. Errors name the line, never its
// secret.
func ParseTokens(text string) ([]Token, error) {
	var tokens []Token
	lines := map[string]int{} // of each secret
	for i, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		bound := ""
		if len(words) > 1 {
			bound = words[1]
		}
		switch {
		case len(words[0]) < MinTokenBytes || strings.ContainsFunc(words[0], func(r rune) bool { return r <= ' ' || r > '~' }):
			return nil, fmt.Errorf("line %d: a token must be at least %d visible ASCII characters, and it has %d bytes; make one with: openssl rand -hex 32", i+1, MinTokenBytes, len(words[0]))
		case len(words) > 2 || bound != "" && !caller.ValidBinding(bound):
			return nil, fmt.Errorf("line %d: a token can be followed by one chat, 1 to 128 of A-Z a-z 0-9 . _ : @ / + = -", i+1)
		}
		if first, twice := lines[words[0]]; twice {
			return nil, fmt.Errorf("lines %d and %d hold the same token; keep one of them", first, i+1)
		}
		lines[words[0]] = i + 1
		tokens = append(tokens, NewToken(words[0], bound))
	}
	if len(tokens) == 0 {
		return nil, fmt.Errorf("it has no token; make one with: openssl rand -hex 32")
	}
	return tokens, nil
}

// identity returns what is known about the sender of a request with this token.
func (t Token) identity() caller.Identity {
	return caller.Identity{Token: "token-" + hex.EncodeToString(t.digest[:8]), Bound: t.bound}
}

// Identify returns the identity that an Authorization header proves, and whether it does.
// It compares the digest with that of every token, in constant time.
func Identify(tokens []Token, authorization string) (id caller.Identity, ok bool) {
	scheme, secret, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return caller.Identity{}, false
	}
	digest := sha256.Sum256([]byte(strings.TrimSpace(secret)))
	for _, t := range tokens {
		if subtle.ConstantTimeCompare(digest[:], t.digest[:]) == 1 {
			id, ok = t.identity(), true
		}
	}
	return id, ok
}

// Anyone identifies every request as that of one token, whatever its header.
func Anyone(string) (caller.Identity, bool) { return caller.Identity{Token: "anyone"}, true }
