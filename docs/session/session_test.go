//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/proctor-mcp/proctor/proctest"
)

func TestMain(m *testing.M) {
	proctest.Main(m, func(tests func() int) int {
		defer func() {
			if program, err := built(); err == nil {
				os.RemoveAll(filepath.Dir(program))
			}
		}()
		return tests()
	})
}

// built returns Proctor, built once for all tests.
var built = sync.OnceValues(func() (program string, err error) {
	dir, err := os.MkdirTemp("", "proctor-session-test-")
	if err != nil {
		return "", err
	}
	return build(context.Background(), dir)
})

// TestSessions plays every session of the documentation. Each answer must be the one
// that the documentation shows.
func TestSessions(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	texts, err := textsWithSessions(root)
	if err != nil {
		t.Fatal(err)
	}
	program, err := built()
	if err != nil {
		t.Fatal(err)
	}
	played := 0
	for _, text := range texts {
		for i, s := range text.sessions {
			played++
			t.Run(fmt.Sprintf("%s/%d", text.name, i+1), func(t *testing.T) {
				for _, name := range s.needs {
					proctest.NeedProgram(t, name)
				}
				for _, step := range s.steps {
					proctest.NeedFor(t, step.arguments)
					if strings.Contains(step.arguments, "watch.sh") {
						proctest.Need(t, "setsid")
					}
				}
				answers, err := play(t.Context(), program, "testdata", t.TempDir(), s.steps)
				if err != nil {
					t.Fatal(err)
				}
				for i, got := range answers {
					if want := s.steps[i].answer; !same(got.answer, want) {
						t.Errorf("%s %s\nanswer:\n%s\n%s shows:\n%s\nTo record it anew: go run ./docs/session", got.tool, got.arguments, got.answer, text.name, want)
					}
				}
			})
		}
	}
	if played < 4 {
		t.Errorf("the documentation shows %d sessions", played)
	}
}

// TestPicture compares the picture in README with its session.
func TestPicture(t *testing.T) {
	session, err := os.ReadFile("picture.txt")
	if err != nil {
		t.Fatal(err)
	}
	picture, err := os.ReadFile("picture.svg")
	if err != nil {
		t.Fatal(err)
	}
	want := draw(read(string(session)))
	if !bytes.Equal(picture, want) {
		t.Error("picture.svg does not show picture.txt; to draw it anew: go run ./docs/session")
	}
	shown := 0
	for d := xml.NewDecoder(bytes.NewReader(picture)); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if text, ok := token.(xml.CharData); ok {
			shown += len(strings.Fields(string(text)))
		}
	}
	if words := len(strings.Fields(string(session))); shown < words {
		t.Errorf("the picture has %d words, its session %d", shown, words)
	}
}

func TestALineThatIsTooLongIsWrapped(t *testing.T) {
	for _, c := range []struct {
		line string
		want []string
	}{
		{"", []string{""}},
		{strings.Repeat("x", columns), []string{strings.Repeat("x", columns)}},
		{strings.Repeat("é", columns-2) + " word", []string{strings.Repeat("é", columns-2), "    word"}},
		{strings.Repeat("x", columns+1), []string{strings.Repeat("x", columns), "    x"}},
	} {
		if got := wrap(c.line); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%q: got %q, want %q", c.line, got, c.want)
		}
	}
}

func TestASessionIsReadAndWritten(t *testing.T) {
	const text = "→ process_start {\"command\": \"a\"}\nProcess p1: running.\n\nout → put\n\n→ process_list {}\np1"
	steps := read(text + "\n\n")
	if got := write(steps); got != text || len(steps) != 2 || steps[1].tool != "process_list" {
		t.Errorf("got %q of %q", got, steps)
	}
}

func TestOnlyTheWordsOfAnAnswerCount(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"ended after 3ms\n", "ended  after 1.5s", true},
		{"uses 3 MiB in 1 process", "uses 14.5 KiB in 3 processes", true},
		{"exited with code 1", "exited with code 2", false},
		{"Stage this hunk [y,n,q,a,d,e,?]? ", "Stage this hunk [y,n,q,a,d,e,p,?]? ", true},
	} {
		if got := same(c.a, c.b); got != c.want {
			t.Errorf("same(%q, %q) is %v", c.a, c.b, got)
		}
	}
}
