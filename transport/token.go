package transport

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strings"

	"github.com/proctor-mcp/proctor/caller"
)

// Token is a secret that lets requests in. It keeps only a digest.
type Token struct {
	digest [sha256.Size]byte
	bound  string
}

// NewToken returns the token of a secret. bound is the chat, or the prefix of
// chats, that it may name; "" is any.
func NewToken(secret, bound string) Token {
	return Token{sha256.Sum256([]byte(secret)), bound}
}

// identity is what a request with this token is known by.
func (t Token) identity() caller.Identity {
	return caller.Identity{Token: "token-" + hex.EncodeToString(t.digest[:8]), Bound: t.bound}
}

// identify returns the identity of an Authorization header. It compares digests
// with every token, in constant time.
func identify(tokens []Token, authorization string) (id caller.Identity, ok bool) {
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
