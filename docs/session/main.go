// Command session plays the sessions that the documentation shows against Proctor
// itself.
//
//	go run ./docs/session
//
// A session is a text: each line that begins with "→" is a call of a tool, and the
// lines below it are the answer. The command calls the tools again, rewrites a
// session if one of its answers has changed, and draws the picture in README. A test
// does the same and fails if an answer or the picture has changed.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// The picture and the session that it shows.
const (
	pictureText = "docs/session/picture.txt"
	pictureFile = "docs/session/picture.svg"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := record(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "session:", err)
		os.Exit(1)
	}
}

// record plays every session and writes what has changed.
func record(ctx context.Context) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "proctor-session-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program, err := build(ctx, dir)
	if err != nil {
		return err
	}
	texts, err := textsWithSessions(root)
	if err != nil {
		return err
	}
	for i, text := range texts {
		for _, s := range slices.Backward(text.sessions) { // so that the others stay where they are
			work := filepath.Join(dir, fmt.Sprintf("%d-%d", i, s.start))
			played, err := play(ctx, program, filepath.Join(root, "docs/session/testdata"), work, s.steps)
			if err != nil {
				return fmt.Errorf("%s: %w", text.name, err)
			}
			text.content = text.content[:s.start] + write(merge(s.steps, played)) + text.content[s.end:]
		}
		if err := os.WriteFile(filepath.Join(root, text.name), []byte(text.content), 0o644); err != nil {
			return err
		}
	}
	picture, err := os.ReadFile(filepath.Join(root, pictureText))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, pictureFile), draw(read(string(picture))), 0o644)
}

func moduleRoot() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	return string(bytes.TrimSpace(out)), err
}

// build builds Proctor into dir and returns the program's path.
func build(ctx context.Context, dir string) (program string, err error) {
	program = filepath.Join(dir, "proctor")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/proctor-mcp/proctor/cmd/proctor").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("cannot build Proctor: %w: %s", err, out)
	}
	return program, nil
}

// text is a file with sessions in it.
type text struct {
	name     string // below the root of the module
	content  string
	sessions []session
}

// session is what one chat does.
type session struct {
	start, end int      // where it is in the text
	needs      []string // programs that it runs
	steps      []step
}

// step is the call of a tool and its answer.
type step struct{ tool, arguments, answer string }

// textsWithSessions returns the documentation's files that show a session, and the
// picture's.
func textsWithSessions(root string) (texts []text, err error) {
	names, err := filepath.Glob(filepath.Join(root, "docs/*.md"))
	if err != nil {
		return nil, err
	}
	for _, path := range append(names, filepath.Join(root, "README.md"), filepath.Join(root, pictureText)) {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return nil, err
		}
		if sessions := find(name, string(content)); len(sessions) > 0 {
			texts = append(texts, text{name, string(content), sessions})
		}
	}
	return texts, nil
}

// find returns the sessions of a text. In Markdown a session is a code block, and a
// comment above it names the programs that the session needs.
func find(name, content string) (sessions []session) {
	if filepath.Ext(name) != ".md" {
		return []session{{end: len(content), steps: read(content)}}
	}
	block := regexp.MustCompile("(?s)(?:<!-- needs ([^>]*) -->\n)?```text\n(→ .*?)\n```")
	for _, at := range block.FindAllStringSubmatchIndex(content, -1) {
		s := session{start: at[4], end: at[5], steps: read(content[at[4]:at[5]])}
		if at[2] >= 0 {
			s.needs = strings.Fields(content[at[2]:at[3]])
		}
		sessions = append(sessions, s)
	}
	return sessions
}

// read takes a session apart.
func read(text string) (steps []step) {
	for part := range strings.SplitSeq("\n"+strings.TrimSpace(text), "\n→ ") {
		if part == "" {
			continue
		}
		call, answer, _ := strings.Cut(part, "\n")
		tool, arguments, _ := strings.Cut(call, " ")
		steps = append(steps, step{tool, arguments, strings.TrimRight(answer, "\n")})
	}
	return steps
}

// write puts a session together.
func write(steps []step) string {
	var b strings.Builder
	for i, s := range steps {
		if i > 0 {
			b.WriteString("\n\n")
		}
		fmt.Fprintf(&b, "→ %s %s\n%s", s.tool, s.arguments, s.answer)
	}
	return b.String()
}

// merge returns the steps as they were played, or the old ones if all their answers
// say the same.
func merge(old, played []step) []step {
	if slices.EqualFunc(old, played, func(a, b step) bool { return same(a.answer, b.answer) }) {
		return old
	}
	return played
}
