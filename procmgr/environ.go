package procmgr

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	envPrefix    = "PROCTOR_"
	envChat      = "CODER_CHAT_ID"
	envProcessID = "PROCTOR_PROCESS_ID"
)

// unattended keeps programs from asking questions, paging and drawing: nobody
// is there to answer.
func unattended() []string {
	return []string{
		"GIT_TERMINAL_PROMPT=0", "GIT_EDITOR=true", "GIT_SEQUENCE_EDITOR=true",
		"EDITOR=true", "VISUAL=true", "PAGER=cat", "GIT_PAGER=cat",
		"TERM=dumb", "NO_COLOR=1",
	}
}

// environ builds the environment of a process. Later entries win, and each name
// stands once.
func (m *Manager) environ(scope Scope, id, dir string, spec *Spec) []string {
	env := &environment{index: map[string]int{}}
	for _, kv := range m.opts.Environ {
		if name, _, _ := strings.Cut(kv, "="); !m.denied(name) {
			env.set(kv)
		}
	}
	env.set(unattended()...)
	env.set("PWD=" + dir) // the one inherited names the server's directory

	if updated, err := m.opts.UpdateEnv(append([]string(nil), env.entries...)); err != nil {
		m.opts.Log.Warn("environment hook failed; going on without it", "process_id", id, "error", err)
	} else {
		env = &environment{index: map[string]int{}}
		env.set(updated...)
	}

	for _, added := range []map[string]string{spec.Ambient, spec.Env} {
		for name, value := range added {
			env.set(name + "=" + value)
		}
	}
	// Whoever they came from, these two say where a process belongs.
	env.unset(envChat)
	if chat := scope.ChatID(); chat != "" {
		env.set(envChat + "=" + chat)
	}
	env.set(envProcessID + "=" + id)
	return env.entries
}

func (m *Manager) denied(name string) bool {
	if strings.HasPrefix(name, envPrefix) || name == "OLDPWD" {
		return true
	}
	for _, pattern := range m.opts.DenyEnv {
		prefix, any := strings.CutSuffix(pattern, "*")
		if name == pattern || any && strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// environment is a list of KEY=value in which each key stands once.
type environment struct {
	entries []string
	index   map[string]int // of a key in entries
}

func (e *environment) set(entries ...string) {
	for _, kv := range entries {
		name, _, ok := strings.Cut(kv, "=")
		if !ok || name == "" {
			continue // Windows keeps per-drive directories as "=C:=…"; nothing else has this form
		}
		if i, known := e.index[name]; known {
			e.entries[i] = kv
			continue
		}
		e.index[name] = len(e.entries)
		e.entries = append(e.entries, kv)
	}
}

func (e *environment) unset(name string) {
	i, known := e.index[name]
	if !known {
		return
	}
	last := len(e.entries) - 1
	e.entries[i] = e.entries[last]
	moved, _, _ := strings.Cut(e.entries[i], "=")
	e.index[moved] = i
	e.entries = e.entries[:last]
	delete(e.index, name)
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
