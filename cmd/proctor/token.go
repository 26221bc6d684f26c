package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	tokenVariable = "PROCTOR_TOKEN"
	minTokenBytes = 16
)

// bearer is the server's secret and where it came from, for people.
type bearer struct{ secret, from string }

// findToken returns the token by which a server lets in and by which a client
// asks: that of the environment, else of the file, else of the file that serve
// keeps. create makes the last one if it is not there.
func findToken(sys system, file string, create bool) (bearer, error) {
	if secret := sys.getenv(tokenVariable); secret != "" && file == "" {
		return checkToken(secret, "the environment variable "+tokenVariable)
	}
	if file != "" {
		return readToken(file)
	}
	file, err := tokenFile(sys)
	if err != nil {
		return bearer{}, err
	}
	t, err := readToken(file)
	if create && errors.Is(err, fs.ErrNotExist) {
		if err := makeToken(file); err != nil {
			return bearer{}, failure{fmt.Errorf("cannot keep a token: %w", err)}
		}
		return readToken(file)
	}
	return t, err
}

// tokenFile is where serve keeps the token that it made.
func tokenFile(sys system) (string, error) {
	state := sys.getenv("XDG_STATE_HOME")
	if state == "" || !filepath.IsAbs(state) { // relative ones are invalid (XDG base directory specification)
		home := sys.getenv("HOME")
		if home == "" {
			return "", failure{errors.New("neither XDG_STATE_HOME nor HOME is set; name a token file with --token-file")}
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "proctor", "token"), nil
}

func readToken(file string) (bearer, error) {
	info, err := os.Stat(file)
	if err != nil {
		return bearer{}, failure{fmt.Errorf("cannot read the token: %w; make one with: (umask 077; openssl rand -hex 32 > %s)", err, file)}
	}
	switch {
	case !info.Mode().IsRegular():
		return bearer{}, failure{fmt.Errorf("the token file %s is no regular file", file)}
	case info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/':
		return bearer{}, failure{fmt.Errorf("the token file %s can be read by others; run: chmod 600 %s", file, file)}
	case !ownFile(info):
		return bearer{}, failure{fmt.Errorf("the token file %s belongs to another user, who knows the token; make one of your own", file)}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return bearer{}, failure{fmt.Errorf("cannot read the token: %w", err)}
	}
	return checkToken(strings.TrimSpace(string(text)), file)
}

func checkToken(secret, from string) (bearer, error) {
	if len(secret) < minTokenBytes || strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return bearer{}, failure{fmt.Errorf("the token in %s cannot be used; it must be at least %d visible ASCII characters, such as from: openssl rand -hex 32", from, minTokenBytes)}
	}
	return bearer{secret, from}, nil
}

// makeToken writes a new token. Of two servers that start at once one makes it
// and both read it.
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
