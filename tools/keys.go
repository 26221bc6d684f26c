package tools

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// keyCodes returns what xterm sends for each key that has a name. In application mode the
// cursor keys have other codes.
func keyCodes(application bool) map[string]string {
	keys := map[string]string{
		"enter": "\r", "return": "\r", "esc": "\x1b", "tab": "\t", "escape": "\x1b", "backspace": "\x7f", "space": " ",
		"up": "\x1b[A", "down": "\x1b[B", "right": "\x1b[C", "left": "\x1b[D", "home": "\x1b[H", "end": "\x1b[F",
		"insert": "\x1b[2~", "delete": "\x1b[3~", "pageup": "\x1b[5~", "pagedown": "\x1b[6~", "shift-tab": "\x1b[Z",
		"f1": "\x1bOP", "f2": "\x1bOQ", "f3": "\x1bOR", "f4": "\x1bOS", "ctrl-space": "\x00", "ctrl-?": "\x7f",
	}
	if application {
		for _, key := range cursorKeys() {
			keys[key] = strings.Replace(keys[key], "[", "O", 1)
		}
	}
	for i, code := range []int{15, 17, 18, 19, 20, 21, 23, 24} {
		keys[fmt.Sprintf("f%d", i+5)] = fmt.Sprintf("\x1b[%d~", code)
	}
	for c := '@'; c <= '_'; c++ { // the control characters of ASCII
		keys["ctrl-"+strings.ToLower(string(c))] = string(c - '@')
	}
	return keys
}

// cursorKeys are the keys that have other codes in application mode.
func cursorKeys() []string { return []string{"up", "down", "right", "left", "home", "end"} }

// usesCursorKeys reports whether the codes of some keys depend on the mode.
func usesCursorKeys(keys []string) bool {
	return slices.ContainsFunc(keys, func(key string) bool {
		return slices.Contains(cursorKeys(), strings.TrimPrefix(keyName(key), "alt-"))
	})
}

// keyName returns the name of a key as keyCodes has it: ctrl-c for Ctrl+C.
func keyName(key string) string {
	name := strings.ToLower(key)
	for _, with := range []string{"ctrl", "alt", "shift"} {
		if rest, found := strings.CutPrefix(name, with+"+"); found {
			name = with + "-" + rest
		}
	}
	return name
}

// pipeKeys are the keys that a program can read from a pipe.
func pipeKeys() []string {
	return []string{"enter", "tab", "escape", "backspace", "space", "return", "esc"}
}

// keyText returns what the keys send.
func keyText(keys []string, tty, application bool) (text string, err error) {
	known := keyCodes(application)
	for i, key := range keys {
		name := keyName(key)
		rest, alt := strings.CutPrefix(name, "alt-")
		sent, ok := known[rest]
		if alt && len(rest) == 1 && rest[0] > ' ' && rest[0] < 0x7f {
			sent, ok = key[len(key)-1:], true
		}
		switch {
		case !ok || strings.ContainsFunc(key, func(r rune) bool { return r > unicode.MaxASCII }): // some are ASCII in lower case
			return "", invalid("keys.%d: got %s, must be a name such as enter, up, f1, ctrl-c or alt-x; put characters in text", i, quoteShort(key))
		case !tty && (alt || !slices.Contains(pipeKeys(), name)):
			return "", invalid("keys.%d: got %s, which needs a terminal; start the process with tty, or send one of %s", i, quoteShort(key), strings.Join(pipeKeys(), ", "))
		case !tty && sent == "\r":
			sent = "\n"
		case alt:
			sent = "\x1b" + sent
		}
		text += sent
	}
	return text, nil
}
