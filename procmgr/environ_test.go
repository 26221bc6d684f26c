//go:build linux

package procmgr

import (
	"bytes"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// environmentOf runs the command "env" and returns the variables that it printed.
func environmentOf(t *testing.T, m *Manager, scope Scope, spec Spec) map[string]string {
	t.Helper()
	spec.Argv = []string{"env", "-0"}
	_, out := wait(t, m, start(t, m, scope, spec))
	got := map[string]string{}
	for _, kv := range strings.Split(strings.TrimSuffix(out, "\x00"), "\x00") {
		name, value, _ := strings.Cut(kv, "=")
		if _, twice := got[name]; twice {
			t.Errorf("%s stands twice", name)
		}
		got[name] = value
	}
	return got
}

func TestEnvironment(t *testing.T) {
	m := newManager(t, Options{
		Env: EnvOptions{Inherit: []string{
			"PATH=" + os.Getenv("PATH"), "HOME=/", "KEEP=1", "PAGER=less", "OLDPWD=/x", "PWD=/x", "DUP=1", "DUP=2",
			"PROCTOR_TOKEN=secret", "AWS_KEY=secret", "AWS_ID=secret", "NPM=secret", "CODER_CHAT_ID=outer", "A=B=C",
		},
			Deny:   []string{"AWS_*", "NPM"},
			Update: func(env []string) ([]string, error) { return append(env, "HOOK=1", "EDITOR=hook"), nil }},
	})
	spec := Spec{Dir: "/tmp", Env: map[string]string{
		"EDITOR": "vi", "path": "lower", "CODER_CHAT_ID": "forged", "PROCTOR_PROCESS_ID": "forged", "EMPTY": "",
	}}
	got := environmentOf(t, m, Chat("c/1"), spec)
	list, _ := m.In(Chat("c/1")).List(FilterAll, 1)
	want := map[string]string{
		"PATH": os.Getenv("PATH"), "path": "lower", "HOME": "/", "KEEP": "1", "PWD": "/tmp", "DUP": "2", "A": "B=C",
		"EMPTY": "", "HOOK": "1", "EDITOR": "vi", "VISUAL": "true", "GIT_EDITOR": "true", "GIT_SEQUENCE_EDITOR": "true",
		"GIT_TERMINAL_PROMPT": "0", "PAGER": "cat", "GIT_PAGER": "cat", "TERM": "dumb", "NO_COLOR": "1",
		"CODER_CHAT_ID": "c/1", "PROCTOR_PROCESS_ID": list[0].ID,
	}
	for name, value := range want {
		if v, ok := got[name]; !ok || v != value {
			t.Errorf("%s is %q, want %q", name, v, value)
		}
		delete(got, name)
	}
	delete(got, "PROCTOR_DOMAIN") // it leads the guard to what is left behind
	if len(got) != 0 {
		t.Errorf("also set: %v", got)
	}
	if got := environmentOf(t, m, NoChat("t"), spec); got["CODER_CHAT_ID"] != "" || got["PROCTOR_PROCESS_ID"] == "forged" {
		t.Errorf("without a chat: %v", got)
	}
}

func TestPathOfTheProcessIsNotThatOfTheShell(t *testing.T) {
	m := newManager(t, Options{})
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/sh", []byte("#!/bin/false\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"PATH": dir}
	if _, out := wait(t, m, start(t, m, Chat("c"), Spec{Command: "echo $PATH", Env: env})); out != dir+"\n" {
		t.Errorf("got %q", out)
	}
	if _, err := m.In(Chat("c")).Start(t.Context(), Spec{Argv: []string{"true"}, Env: env}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("argv: got %v", err)
	}
}

func TestQuestionsCanBeAllowed(t *testing.T) {
	given := []string{"PATH=" + os.Getenv("PATH"), "HOME=/", "PAGER=less", "EDITOR=vi", "TERM=vt100"}
	m := newManager(t, Options{Env: EnvOptions{Inherit: given, AllowQuestions: true}})
	for _, tty := range []Size{{}, {Rows: 24, Cols: 80}} {
		got := environmentOf(t, m, Chat("c"), Spec{Dir: "/", TTY: tty})
		delete(got, "PROCTOR_DOMAIN")
		delete(got, "PROCTOR_PROCESS_ID")
		want := map[string]string{
			"PATH": os.Getenv("PATH"), "HOME": "/", "PAGER": "less", "EDITOR": "vi", "TERM": "vt100",
			"PWD": "/", "CODER_CHAT_ID": "c",
		}
		if tty != (Size{}) {
			want["TERM"] = "xterm-256color"
		}
		if !maps.Equal(got, want) {
			t.Errorf("with a terminal of %v: got %v", tty, got)
		}
	}
}

func TestFailingEnvironmentHookIsLoggedAndLeftOut(t *testing.T) {
	var text bytes.Buffer
	m := newManager(t, Options{
		Env: EnvOptions{
			Inherit: []string{"PATH=" + os.Getenv("PATH"), "KEEP=1"},
			Update:  func([]string) ([]string, error) { return []string{"KEEP=2"}, errors.New("no luck") },
		},
		Log: slog.New(slog.NewTextHandler(&text, nil)),
	})
	p, out := wait(t, m, sh(t, m, "echo $KEEP"))
	if _, err := m.Close(t.Context()); err != nil { // then nobody writes to the log
		t.Fatal(err)
	}
	var warning string
	for line := range strings.Lines(text.String()) {
		if strings.Contains(line, "no luck") {
			warning = line
		}
	}
	if out != "1\n" || !strings.Contains(warning, "chat_id=c process_id="+p.ID) {
		t.Errorf("got %q and the log %q", out, &text)
	}
}

func TestWorkdir(t *testing.T) {
	base, home := t.TempDir(), t.TempDir()
	if err := os.Mkdir(filepath.Join(base, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	own, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	path := "PATH=" + os.Getenv("PATH")
	dir := base
	m := newManager(t, Options{Env: EnvOptions{Inherit: []string{path, "HOME=" + home}}, Dir: func() string { return dir }})
	homeless := newManager(t, Options{Env: EnvOptions{Inherit: []string{path, "HOME=/no/such/home"}}})
	for _, c := range []struct {
		what, configured, requested, want string
		m                                 *Manager
	}{
		{"configured", base, "", base, m},
		{"absolute request", base, home, home, m},
		{"relative request", base, "sub", filepath.Join(base, "sub"), m},
		{"asked at each start, gone by then", base + "/gone", "", home, m},
		{"nothing configured", "", "", home, m},
		{"no home", "", "", own, homeless},
		{"relative without either", "", "..", filepath.Dir(own), homeless},
	} {
		dir = c.configured
		p, out := wait(t, c.m, start(t, c.m, Chat("c"), Spec{Command: "pwd -P", Dir: c.requested}))
		if out != c.want+"\n" || p.Dir != c.want {
			t.Errorf("%s: ran in %q, says %q, want %q", c.what, out, p.Dir, c.want)
		}
	}
}

func TestNothingInheritsOurDescriptors(t *testing.T) {
	m := newManager(t, Options{})
	list := func() string {
		_, out := wait(t, m, sh(t, m, "ls /proc/$$/fd"))
		return out
	}
	before := list() // what this test was itself started with
	for range 5 {
		start(t, m, Chat("c"), Spec{Command: "exec sleep 100", Stdin: make([]byte, MaxStdinBytes)})
	}
	if after := list(); after != before {
		t.Errorf("descriptors of a child: %q, beside others: %q", before, after)
	}
}
