package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/proctor-mcp/proctor/caller"
	"github.com/proctor-mcp/proctor/transport"
)

const tokenVariable = "PROCTOR_TOKEN"

// bearer is the secret that a client sends, and where it came from, for people.
type bearer struct{ secret, from string }

// findToken returns the token that a client sends: the first one of the file, otherwise
// that of the environment, otherwise the first one of the file that serve keeps.
func findToken(sys system, file string) (bearer, error) {
	if secret := sys.getenv(tokenVariable); secret != "" && file == "" {
		_, err := checkTokens(secret, "the environment variable "+tokenVariable)
		return bearer{firstToken(secret), tokenVariable}, err
	}
	if file == "" {
		var err error
		if file, err = tokenFile(sys); err != nil {
			return bearer{}, err
		}
	}
	text, _, err := readTokens(file)
	if err != nil {
		return bearer{}, err
	}
	return bearer{firstToken(text), file}, nil
}

// firstToken returns the secret in the first line that has one.
func firstToken(text string) string {
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) > 0 && !strings.HasPrefix(words[0], "#") {
			return words[0]
		}
	}
	return ""
}

// tokenKeeper holds the tokens that a server accepts. It reads a file again when the
// file changes, so that a person can change tokens without a restart.
type tokenKeeper struct {
	from string // for people
	file string // "" if the tokens come from the environment
	log  *slog.Logger

	mu        sync.Mutex // guards the fields below
	tokens    []transport.Token
	seen      fs.FileInfo // of the file when the tokens were read
	complaint string      // why the file cannot be used, "" if it can
}

// keepTokens finds the tokens of a server where findToken looks. It makes the file that
// serve keeps if there is none.
func keepTokens(sys system, file string, log *slog.Logger) (*tokenKeeper, error) {
	k := &tokenKeeper{file: file, from: file, log: log}
	if secret := sys.getenv(tokenVariable); secret != "" && file == "" {
		k.from = "the environment variable " + tokenVariable
		var err error
		k.tokens, err = checkTokens(secret, k.from)
		return k, err
	}
	if file == "" {
		kept, err := tokenFile(sys)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(kept); errors.Is(err, fs.ErrNotExist) {
			if err := makeToken(kept); err != nil {
				return nil, failure{fmt.Errorf("cannot keep a token: %w", err)}
			}
		}
		k.file, k.from = kept, kept
	}
	return k, k.load()
}

// identify accepts a caller who has one of the tokens.
func (k *tokenKeeper) identify(authorization string) (caller.Identity, bool) {
	if k.file != "" {
		k.complain(k.load())
	}
	k.mu.Lock()
	tokens := k.tokens
	k.mu.Unlock()
	return transport.Identify(tokens, authorization)
}

// complain logs why the tokens cannot be read, once for each cause.
func (k *tokenKeeper) complain(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	k.mu.Lock()
	known := text == k.complaint
	k.complaint = text
	k.mu.Unlock()
	if !known && err != nil {
		k.log.Error("cannot read the changed tokens", "error", err)
	}
}

// load reads the file if it has changed. Without a file nobody is accepted any more. A
// file that cannot be used, perhaps half written, changes nothing.
func (k *tokenKeeper) load() error {
	info, err := os.Stat(k.file)
	k.mu.Lock()
	defer k.mu.Unlock()
	if errors.Is(err, fs.ErrNotExist) && k.seen != nil {
		k.tokens, k.seen = nil, nil
		return fmt.Errorf("the token file %s is gone: nobody is accepted", k.file)
	}
	if err == nil && k.seen != nil && os.SameFile(info, k.seen) && info.Size() == k.seen.Size() &&
		info.ModTime().Equal(k.seen.ModTime()) && info.Mode() == k.seen.Mode() {
		return nil
	}
	_, tokens, err := readTokens(k.file)
	if err != nil {
		return err
	}
	k.tokens, k.seen = tokens, info
	return nil
}

// tokenFile returns the file in which serve keeps the token that it made.
func tokenFile(sys system) (string, error) {
	state := stateDir(sys)
	if state == "" {
		return "", failure{errors.New("neither XDG_STATE_HOME nor HOME is set; name a token file with --token-file")}
	}
	return filepath.Join(state, "token"), nil
}

// stateDir returns the folder for what the program keeps, or "" if neither variable
// that could name one is set.
func stateDir(sys system) string {
	state := sys.getenv("XDG_STATE_HOME")
	if state == "" || !filepath.IsAbs(state) { // relative ones are invalid (XDG base directory specification)
		home := sys.getenv("HOME")
		if home == "" {
			return ""
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "proctor")
}

// readTokens reads a file of tokens, which must belong to this user alone.
func readTokens(file string) (text string, tokens []transport.Token, err error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", nil, failure{fmt.Errorf("cannot read the token: %w; make one with: (umask 077; openssl rand -hex 32 > %s)", err, file)}
	}
	switch {
	case !info.Mode().IsRegular() || info.Size() > maxTokenFile:
		return "", nil, failure{fmt.Errorf("the token file %s is not a regular file of at most %d bytes", file, maxTokenFile)}
	case info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/':
		return "", nil, failure{fmt.Errorf("the token file %s can be read by others; run: chmod 600 %s", file, file)}
	case !ownFile(info):
		return "", nil, failure{fmt.Errorf("the token file %s belongs to another user, who knows the token; make your own", file)}
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return "", nil, failure{fmt.Errorf("cannot read the token: %w", err)}
	}
	tokens, err = checkTokens(string(content), file)
	return string(content), tokens, err
}

// maxTokenFile is the largest file of tokens, in bytes.
const maxTokenFile = 1 << 20

func checkTokens(text, from string) ([]transport.Token, error) {
	tokens, err := transport.ParseTokens(text)
	if err != nil {
		return nil, failure{fmt.Errorf("the token in %s cannot be used: %w", from, err)}
	}
	return tokens, nil
}

// makeToken writes a new token. If two servers start at once, one makes the token and
// both read it.
func makeToken(file string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	var secret [32]byte
	rand.Read(secret[:])
	made, err := os.CreateTemp(filepath.Dir(file), "token-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(made.Name())
	_, err = made.WriteString(base64.RawURLEncoding.EncodeToString(secret[:]) + "\n")
	if err := errors.Join(err, made.Close()); err != nil {
		return err
	}
	if err := os.Link(made.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
