package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// shownPort stands in sessions for a port that is free when they are played.
const shownPort = "8137"

// play calls the tools of a session in a chat of its own. Its commands run in a copy
// of the folder data, which becomes work/project. The returned answers show p1 for
// the id of the first process, and so on.
func play(ctx context.Context, program, data, work string, steps []step) (played []step, err error) {
	project := filepath.Join(work, "project")
	if err := prepare(ctx, data, project); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program, "stdio", "--workdir", project, "--log-level", "error")
	cmd.Env, cmd.Stderr = environment(work), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer func() {
		in.Close() // ends the server and everything that it runs
		if e := cmd.Wait(); err == nil {
			err = e
		}
	}()
	answers := bufio.NewReader(out)
	ids := shortIDs{}
	for i, s := range steps {
		arguments := ids.long(strings.ReplaceAll(s.arguments, shownPort, port))
		if _, err := fmt.Fprintf(in, `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":%s}}`+"\n", i, s.tool, arguments); err != nil {
			return nil, err
		}
		line, err := answers.ReadBytes('\n')
		if err != nil {
			return nil, fmt.Errorf("no answer to %s %s: %w", s.tool, s.arguments, err)
		}
		var answer struct {
			Result struct{ Content []struct{ Text string } }
		}
		if err := json.Unmarshal(line, &answer); err != nil || len(answer.Result.Content) != 1 {
			return nil, fmt.Errorf("%s %s: not an answer with one text: %s", s.tool, s.arguments, line)
		}
		s.answer = regexp.MustCompile(`\b`+port+`\b`).ReplaceAllString(ids.short(answer.Result.Content[0].Text), shownPort)
		s.answer = strings.TrimRight(s.answer, "\n")
		played = append(played, s)
	}
	return played, nil
}

// prepare copies the project and commits one of its files, for git add -p.
func prepare(ctx context.Context, data, project string) error {
	if err := os.CopyFS(project, os.DirFS(data)); err != nil {
		return err
	}
	if _, err := exec.LookPath("git"); err != nil {
		return nil // the sessions that need it are not played
	}
	const script = `git init -q && git add notes.txt && git -c user.name=a -c user.email=a@example.com commit -qm first`
	cmd := exec.CommandContext(ctx, "sh", "-c", script)
	cmd.Dir, cmd.Env = project, environment(filepath.Dir(project))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// environment returns what programs need, and nothing that changes an answer.
func environment(work string) []string {
	env := []string{
		"XDG_STATE_HOME=" + work + "/state", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C.UTF-8",
		"GOTMPDIR=" + work, // go run leaves its program behind when a signal ends it
	}
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if slices.Contains([]string{"PATH", "HOME", "USER", "TMPDIR", "GOENV", "GOPATH", "GOCACHE", "GOMODCACHE", "GOFLAGS", "GOROOT"}, name) {
			env = append(env, variable)
		}
	}
	return env
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}

// shortIDs are the ids of the processes that a session has started, in order.
type shortIDs []string

// short replaces the ids in an answer by p1, p2 and so on.
func (ids *shortIDs) short(text string) string {
	return regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`).ReplaceAllStringFunc(text, func(id string) string {
		i := slices.Index(*ids, id)
		if i < 0 {
			i, *ids = len(*ids), append(*ids, id)
		}
		return fmt.Sprintf("p%d", i+1)
	})
}

// long replaces "p1" and so on in arguments by the ids.
func (ids *shortIDs) long(arguments string) string {
	for i, id := range *ids {
		arguments = strings.ReplaceAll(arguments, fmt.Sprintf(`"p%d"`, i+1), strconv.Quote(id))
	}
	return arguments
}

// same reports whether two answers differ only in what differs between two runs:
// times, sizes, blanks, the choices that this version of git offers, and whether a
// program already waits for the answer to its question.
func same(a, b string) bool { return plain(a) == plain(b) }

func plain(answer string) string {
	for _, r := range []struct{ pattern, by string }{
		{`\b[\d.]+m?s\b`, "TIME"},
		{`\b[\d.]+ [KM]iB in \d+ process(es)?\b`, "SIZE"},
		{`, (probably )?waiting for input|; process_output waits for it, process_signal ends it|; answer it with process_input, or end it with process_signal`, ""},
		{`,[a-z,]+,\?\]`, ""},
	} {
		answer = regexp.MustCompile(r.pattern).ReplaceAllString(answer, r.by)
	}
	return strings.Join(strings.Fields(answer), " ")
}
