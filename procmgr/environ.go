package procmgr

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
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

// environment holds variables by name.
type environment map[string]string

func newEnvironment(entries []string) environment {
	e := make(environment, len(entries))
	e.set(entries...)
	return e
}

// set takes entries of the form NAME=value. It skips others: Windows keeps the
// current directory of each drive as "=C:=C:\dir".
func (e environment) set(entries ...string) {
	for _, entry := range entries {
		if name, value, ok := strings.Cut(entry, "="); ok && name != "" {
			e[name] = value
		}
	}
}

// list returns the variables as NAME=value, sorted by name.
func (e environment) list() []string {
	list := make([]string, 0, len(e))
	for _, name := range slices.Sorted(maps.Keys(e)) {
		list = append(list, name+"="+e[name])
	}
	return list
}

// setRequested sets the variables that a start asks for, and those that say where it
// belongs.
func (e environment) setRequested(scope Scope, id string, spec *Spec) {
	maps.Copy(e, spec.Ambient)
	maps.Copy(e, spec.Env)
	// These two name the chat and the process. Nothing overrides them.
	delete(e, envChat)
	if chat := scope.ChatID(); chat != "" {
		e[envChat] = chat
	}
	e[envProcessID] = id
}

// inherited returns the environment before hooks and requests: what is passed on of
// Inherit, and the settings against questions.
func (o *EnvOptions) inherited(tty bool) environment {
	e := newEnvironment(o.Inherit)
	maps.DeleteFunc(e, func(name, _ string) bool { return o.denied(name) })
	if !o.AllowQuestions {
		e.set("GIT_TERMINAL_PROMPT=0") // git would ask for a password, which no agent should know
	}
	switch {
	case tty:
		e.set("TERM=xterm-256color")
		delete(e, "LINES") // the terminal knows its size
		delete(e, "COLUMNS")
	case !o.AllowQuestions: // nobody is there to answer, or to turn a page
		e.set("GIT_EDITOR=true", "GIT_SEQUENCE_EDITOR=true", "EDITOR=true", "VISUAL=true",
			"PAGER=cat", "GIT_PAGER=cat", "TERM=dumb", "NO_COLOR=1")
	}
	return e
}

func (o *EnvOptions) denied(name string) bool {
	if strings.HasPrefix(name, envPrefix) || name == "OLDPWD" {
		return true
	}
	for _, pattern := range o.Deny {
		prefix, any := strings.CutSuffix(pattern, "*")
		if name == pattern || any && strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// environ returns the environment of a process.
func (o *EnvOptions) environ(log *slog.Logger, scope Scope, id, dir string, spec *Spec) []string {
	e := o.inherited(spec.TTY != Size{})
	e["PWD"] = dir // the inherited PWD is the directory of this program
	if o.Update != nil {
		if updated, err := o.Update(e.list()); err != nil {
			log.Warn("environment hook failed; its result is not used", "error", err)
		} else {
			e = newEnvironment(updated)
		}
	}
	e.setRequested(scope, id, spec)
	return e.list()
}

// workdir returns the directory that a process runs in.
func (o *Options) workdir(requested string) (string, error) {
	dir := o.defaultDir()
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

// defaultDir returns the configured directory, else the home directory, else this
// program's own.
func (o *Options) defaultDir() string {
	for _, dir := range []string{o.Dir(), newEnvironment(o.Env.Inherit)["HOME"]} {
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
