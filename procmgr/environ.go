package procmgr

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	envPrefix    = "PROCTOR_"
	envChat      = "CODER_CHAT_ID"
	envProcessID = "PROCTOR_PROCESS_ID"
)

// noQuestion keeps git from asking for a password, which an agent should not know.
const noQuestion = "GIT_TERMINAL_PROMPT=0"

// unattended keeps programs from asking questions, paging and drawing: nobody
// is there to answer.
func unattended() []string {
	return []string{
		noQuestion, "GIT_EDITOR=true", "GIT_SEQUENCE_EDITOR=true",
		"EDITOR=true", "VISUAL=true", "PAGER=cat", "GIT_PAGER=cat",
		"TERM=dumb", "NO_COLOR=1",
	}
}

// inherited returns what the environments of all processes begin with that have a
// terminal, or none.
func (o *Options) inherited(tty bool) []string {
	var env environment
	for _, kv := range o.Environ {
		if name, _, _ := strings.Cut(kv, "="); !o.denied(name) {
			env.set(kv)
		}
	}
	if tty {
		env.set(noQuestion, "TERM=xterm-256color")
		env.unset("LINES") // the terminal knows its size
		env.unset("COLUMNS")
	} else {
		env.set(unattended()...)
	}
	return env.list()
}

// environ builds the environment of a process. Later entries win, and each name
// stands once.
func (m *Manager) environ(scope Scope, id, dir string, spec *Spec) []string {
	env := newEnvironment(m.inherited)
	if spec.TTY != (Size{}) {
		env = newEnvironment(newInheritance(m.opts.inherited(true)))
	}
	env.set("PWD=" + dir) // the one inherited names the server's directory

	if m.opts.UpdateEnv != nil {
		if updated, err := m.opts.UpdateEnv(env.list()); err != nil {
			m.opts.Log.Warn("environment hook failed; going on without it", "process_id", id, "error", err)
		} else {
			env = &environment{}
			env.set(updated...)
		}
	}

	env.ask(scope, id, spec)
	return env.list()
}

// ask sets what a start asks for.
func (e *environment) ask(scope Scope, id string, spec *Spec) {
	for _, added := range []map[string]string{spec.Ambient, spec.Env} {
		for name, value := range added {
			e.set(name + "=" + value)
		}
	}
	// Whoever they came from, these two say where a process belongs.
	e.unset(envChat)
	if chat := scope.ChatID(); chat != "" {
		e.set(envChat + "=" + chat)
	}
	e.set(envProcessID + "=" + id)
}

func (o *Options) denied(name string) bool {
	if strings.HasPrefix(name, envPrefix) || name == "OLDPWD" {
		return true
	}
	for _, pattern := range o.DenyEnv {
		prefix, any := strings.CutSuffix(pattern, "*")
		if name == pattern || any && strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// inheritance is a list of KEY=value in which each key stands once. It does not
// change, so that all processes can share it.
type inheritance struct {
	entries []string
	index   map[string]int // of a key in entries
}

func newInheritance(entries []string) inheritance {
	i := inheritance{entries, map[string]int{}}
	for n, kv := range entries {
		name, _, _ := strings.Cut(kv, "=")
		i.index[name] = n
	}
	return i
}

// environment is a list of KEY=value in which each key stands once.
type environment struct {
	entries []string       // an empty one was taken out
	shared  map[string]int // of the keys that were inherited, in entries
	own     map[string]int // of those that were added
}

func newEnvironment(from inheritance) *environment {
	const room = 8 // for what is usually added
	return &environment{
		entries: append(make([]string, 0, len(from.entries)+room), from.entries...),
		shared:  from.index,
	}
}

func (e *environment) find(name string) (int, bool) {
	if i, ok := e.shared[name]; ok {
		return i, true
	}
	i, ok := e.own[name]
	return i, ok
}

func (e *environment) set(entries ...string) {
	for _, kv := range entries {
		name, _, ok := strings.Cut(kv, "=")
		if !ok || name == "" {
			continue // Windows keeps per-drive directories as "=C:=…"; nothing else has this form
		}
		if i, known := e.find(name); known {
			e.entries[i] = kv
			continue
		}
		if e.own == nil {
			e.own = map[string]int{}
		}
		e.own[name] = len(e.entries)
		e.entries = append(e.entries, kv)
	}
}

func (e *environment) unset(name string) {
	if i, known := e.find(name); known {
		e.entries[i] = ""
	}
}

// list returns the entries.
func (e *environment) list() []string {
	return slices.DeleteFunc(slices.Clone(e.entries), func(kv string) bool { return kv == "" })
}

// workdir decides where a process runs.
func (m *Manager) workdir(requested string) (string, error) {
	dir := m.defaultDir()
	if requested == "" {
		return dir, nil
	}
	if !filepath.IsAbs(requested) {
		requested = filepath.Join(dir, requested)
	}
	info, err := os.Stat(requested)
	switch {
	case os.IsNotExist(err):
		return "", &InputError{"workdir", requested + ", which does not exist", "an existing directory"}
	case err != nil:
		return "", &InputError{"workdir", fmt.Sprintf("%.200s (%v)", requested, errors.Unwrap(err)), "a directory that can be entered"}
	case !info.IsDir():
		return "", &InputError{"workdir", requested + ", which is not a directory", "an existing directory"}
	}
	return requested, nil
}

func (m *Manager) defaultDir() string {
	home := ""
	for _, kv := range m.opts.Environ {
		if value, ok := strings.CutPrefix(kv, "HOME="); ok {
			home = value
		}
	}
	for _, dir := range []string{m.opts.Dir(), home} {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			if abs, err := filepath.Abs(dir); err == nil {
				return abs
			}
		}
	}
	if dir, err := os.Getwd(); err == nil {
		return dir
	}
	return string(filepath.Separator)
}
