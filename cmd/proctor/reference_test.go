//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/proctor-mcp/proctor/caller"
	"github.com/proctor-mcp/proctor/procmgr"
)

// helpOf returns what --help of a command prints, with the flags of limits. It fails
// the test if that does not fit a screen.
func helpOf(t *testing.T, args ...string) string {
	t.Helper()
	var help bytes.Buffer
	if code := run(t.Context(), system{args: args, stdout: &help, stderr: &help}); code != exitOK {
		t.Fatalf("%s: exit %d", args, code)
	}
	if lines := strings.Count(help.String(), "\n"); lines > 35 || args[0] != "help" && !strings.Contains(help.String(), "Example") {
		t.Errorf("%s has %d lines; it must fit a screen and have an example", args, lines)
	}
	return help.String()
}

// TestDocFlags compares the tables in docs/flags.md with --help: the
// flags, which commands have them, and their defaults.
func TestDocFlags(t *testing.T) {
	type flag struct{ name, command string }
	known := map[flag]string{} // the default, "" without one
	read := func(command, help string) {
		for _, m := range regexp.MustCompile(`(?m)^ +(?:-[a-z], )?--([a-z-]+)(?:.*\(default (.*)\)$)?`).FindAllStringSubmatch(help, -1) {
			value := strings.Trim(m[2], `"[]`)
			known[flag{m[1], command}] = regexp.MustCompile(`(\d[ms])0s$`).ReplaceAllString(value, "$1")
		}
	}
	limits := helpOf(t, "help", "limits")
	for _, command := range []string{"stdio", "serve", "call", "doctor"} {
		help := helpOf(t, command, "--help")
		read(command, help)
		if strings.Contains(help, "help limits") {
			for line := range strings.Lines(limits) {
				if command == "serve" || !strings.Contains(line, "serve:") {
					read(command, line)
				}
			}
		}
	}
	maps.DeleteFunc(known, func(f flag, _ string) bool { return f.name == "help" })

	documented := map[flag]bool{}
	for _, row := range rows(document(t, "docs/flags.md")) {
		names := quotedNames(row[0])
		if len(row) != 4 || len(names) == 0 || !strings.HasPrefix(names[0], "--") {
			continue
		}
		commands := strings.Split(row[1], ", ")
		if row[1] == "all" {
			commands = []string{"stdio", "serve", "call"}
		}
		for _, command := range commands {
			f := flag{strings.TrimPrefix(names[0], "--"), command}
			documented[f] = true
			value, ok := known[f]
			if !ok {
				t.Errorf("docs/flags.md has --%s of %s, which is gone", f.name, f.command)
				continue
			}
			// "see …" and "none" stand for what --help says in other words.
			want := strings.ReplaceAll(row[2], "`", "")
			for _, choice := range strings.Split(want, "; ") { // such as "info; call: warn"
				if rest, ok := strings.CutPrefix(choice, command+": "); ok {
					want = rest
				} else if !strings.Contains(choice, ": ") {
					want = choice
				}
			}
			if value == "" || value == "no limit" {
				value = "none"
			}
			if want != value && !strings.HasPrefix(want, "see ") && !(value == "none" && slices.Contains([]string{"false", "$CODER_CHAT_ID"}, want)) {
				t.Errorf("docs/flags.md: the default of --%s of %s is %q, want %q", f.name, f.command, want, value)
			}
		}
	}
	for f := range known {
		if !documented[f] {
			t.Errorf("docs/flags.md has no --%s of %s", f.name, f.command)
		}
	}
}

// TestEnvironmentIsDocumented compares the variables in docs/tools.md with those that a
// command gets.
func TestEnvironmentIsDocumented(t *testing.T) {
	s := launch(t, nil, "stdio", "--chat-id", "c")
	env := s.call("process_start", `{"command":"env"}`).ProcessOutput.Output
	checked := 0
	for _, name := range quotedNames(part(t, "docs/tools.md", "## Environment and directory")) {
		if !regexp.MustCompile(`^[A-Z_]+=|^(CODER|PROCTOR)_[A-Z_]+$`).MatchString(name) {
			continue
		}
		if checked++; !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + `(=|$)`).MatchString(env) {
			t.Errorf("a command has no %s; it has\n%s", name, env)
		}
	}
	if checked < 10 {
		t.Errorf("%d variables were checked", checked)
	}
}

// TestDocNames looks in the documentation for the names that the code knows:
// protocols, keys of conversations, and programs that run commands elsewhere.
func TestDocNames(t *testing.T) {
	protocols, chats := part(t, "docs/transports.md", "## Protocols"), document(t, "docs/chats.md")
	for _, version := range mcp.ValidProtocolVersions {
		if !strings.Contains(protocols, version) {
			t.Errorf("docs/transports.md does not tell of protocol %s", version)
		}
	}
	rules := caller.DefaultRules()
	for _, key := range append(rules.SessionKeys, rules.Header, rules.MetaKey) {
		if !strings.Contains(chats, "`"+key+"`") {
			t.Errorf("docs/chats.md does not tell of %s", key)
		}
	}
	names, _, _ := strings.Cut(part(t, "docs/launchers.md", "## Elsewhere"), "\n\n|")
	elsewhere := 0
	for _, name := range quotedNames(names) {
		if !strings.HasPrefix(name, "--") {
			elsewhere++
			if procmgr.RemoteLauncher([]string{name}) != name {
				t.Errorf("docs/launchers.md: %s does not run commands elsewhere", name)
			}
		}
	}
	if elsewhere != 7 {
		t.Errorf("docs/launchers.md names %d launchers that run commands elsewhere", elsewhere)
	}
}

// property is a part of a JSON Schema.
type property struct {
	Default, Minimum, Maximum                *json.Number
	MinLength, MaxLength, MinItems, MaxItems *json.Number
	Enum                                     []any
	Properties                               map[string]property
	Items                                    *property
	Required                                 []string
}

func (p *property) UnmarshalJSON(data []byte) error {
	type plain property
	var loose struct {
		plain
		Default any
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&loose); err != nil {
		return err
	}
	*p = property(loose.plain)
	if n, ok := loose.Default.(json.Number); ok {
		p.Default = &n
	}
	return nil
}

// schema returns what a tool takes ("input") or gives ("output").
func schema(t *testing.T, tool, side string) (p property) {
	t.Helper()
	text, err := os.ReadFile(root + "/schemas/flat/" + tool + "." + side + ".json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func toolNames() []string {
	return []string{"process_start", "process_output", "process_input", "process_wait", "process_list", "process_signal"}
}

// TestDocArguments compares the tables in docs/tools.md with the schemas:
// the arguments, which of them are required, and their numbers.
func TestDocArguments(t *testing.T) {
	for _, tool := range toolNames() {
		in := schema(t, tool, "input")
		documented := map[string]bool{}
		for _, row := range rows(part(t, "docs/tools.md", "## "+tool)) {
			name := quotedNames(row[0])[0]
			documented[name] = true
			p, ok := in.Properties[name]
			if !ok {
				t.Errorf("docs/tools.md: %s has no argument %s", tool, name)
				continue
			}
			if required := row[1] == "required"; required != slices.Contains(in.Required, name) {
				t.Errorf("docs/tools.md: %s: %s is required: %v", tool, name, !required)
			}
			if p.Default != nil && strings.Trim(row[1], "`") != count(*p.Default) {
				t.Errorf("docs/tools.md: %s: the default of %s is %s, want %s", tool, name, row[1], count(*p.Default))
			}
			checkNumbers(t, tool+" "+name, strings.Join(row, " "), p)
		}
		for name := range in.Properties {
			if !documented[name] {
				t.Errorf("docs/tools.md: %s has an argument %s", tool, name)
			}
		}
	}
	conditions := schema(t, "process_start", "input").Properties["wait_for"].Properties
	documented := map[string]bool{}
	for _, row := range rows(part(t, "docs/tools.md", "### wait_for")) {
		name := quotedNames(row[0])[0]
		documented[name] = true
		checkNumbers(t, name, row[1], conditions[name])
	}
	if got, want := slices.Sorted(maps.Keys(documented)), slices.Sorted(maps.Keys(conditions)); !slices.Equal(got, want) {
		t.Errorf("docs/tools.md has the conditions %v, want %v", got, want)
	}
}

// checkNumbers checks that a row has the limits of its argument and of what that
// holds. Bounds that say nothing, such as a minimum of 1, may be left out.
func checkNumbers(t *testing.T, what, row string, p property) {
	t.Helper()
	for _, n := range []*json.Number{p.Default, p.Maximum, p.MaxLength, p.MaxItems} {
		if n == nil || n.String() == fmt.Sprint(1<<31-1) || n.String() == "65535" && strings.HasPrefix(what, "port") {
			continue
		}
		if !strings.Contains(row, count(*n)) {
			t.Errorf("docs/tools.md: %s: %s is not said", what, count(*n))
		}
	}
	for _, v := range p.Enum {
		if !strings.Contains(row, fmt.Sprintf("`%v`", v)) {
			t.Errorf("docs/tools.md: %s: %v is not said", what, v)
		}
	}
	if strings.Contains(what, "wait_for") {
		return // has a table of its own
	}
	for name, inner := range p.Properties {
		if !strings.Contains(row, "`"+name+"`") {
			t.Errorf("docs/tools.md: %s: %s is not said", what, name)
		}
		checkNumbers(t, what+"."+name, row, inner)
	}
}

// count writes a number as people do.
func count(n json.Number) string {
	digits := n.String()
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// TestDocResults compares the tables of fields in docs/tools.md with the
// schemas of the results, and with the values that a field may have.
func TestDocResults(t *testing.T) {
	text := part(t, "docs/tools.md", "## Results")
	named := map[string]bool{}
	for _, name := range quotedNames(text) {
		named[name] = true
	}
	known := map[string]bool{}
	var walk func(tool string, p property)
	walk = func(tool string, p property) {
		for name, inner := range p.Properties {
			known[name] = true
			if !named[name] {
				t.Errorf("docs/tools.md does not tell of %s in a result of %s", name, tool)
			}
			for _, v := range inner.Enum {
				if s, ok := v.(string); ok && !strings.Contains(document(t, "docs/tools.md")+document(t, "docs/kill-domains.md"), "`"+s+"`") {
					t.Errorf("docs/tools.md does not tell of the %s %s", name, s)
				}
			}
			walk(tool, inner)
			if inner.Items != nil {
				walk(tool, *inner.Items)
			}
		}
	}
	for _, tool := range toolNames() {
		walk(tool, schema(t, tool, "output"))
	}
	for _, row := range rows(text) {
		for _, name := range quotedNames(row[0]) {
			if !known[name] {
				t.Errorf("docs/tools.md tells of %s, which no result has", name)
			}
		}
	}
}
