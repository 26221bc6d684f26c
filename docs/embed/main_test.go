//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proctor-mcp/proctor/proctest"
)

// TestEmbed builds and runs the program: it has to be a process of its own.
func TestEmbed(t *testing.T) {
	proctest.Need(t, "setsid")
	program := filepath.Join(t.TempDir(), "embed")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+t.TempDir())
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if want := "exit code 0, descendants 1: left\n"; err != nil || string(out) != want {
		t.Errorf("got %q and %v, want %q", out, err, want)
	}
}

// TestTheDocumentationShowsThisProgram looks for the code of docs/library.md here.
func TestTheDocumentationShowsThisProgram(t *testing.T) {
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../library.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```go\n")[1:]
	for _, block := range blocks {
		block, _, _ = strings.Cut(block, "```")
		if !strings.Contains(string(program), block) {
			t.Errorf("docs/library.md shows what the program does not have:\n%s", block)
		}
	}
	if len(blocks) == 0 {
		t.Error("docs/library.md shows no code")
	}
}
