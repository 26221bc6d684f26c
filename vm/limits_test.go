//go:build linux

package vm

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	// hog takes 100 MiB at once, and exits with 1 if it may; vec, for a string that grows
	// takes twice as much.
	hog = `exec perl -e 'vec($x, (100<<20)-1, 8) = 1; exit 1'`
	// children forks until it may not any more, and ends itself but not them.
	children = `exec perl -e 'for (1..50) { fork // exit 9 or sleep 1000 } exit 1'`
)

// together are all limits at once.
var together = []string{"--memory-limit", "16MiB", "--memory-limit-per-chat", "24MiB", "--pids-limit", "20", "--pids-limit-per-chat", "30"}

func TestLimits(t *testing.T) {
	for name, test := range map[string]struct {
		command, limit string
		flags          []string
	}{
		"memory":                      {hog, "memory_limit", together[0:2]},
		"memory of a chat":            {hog, "memory_limit_per_chat", together[2:4]},
		"memory, with all others":     {hog, "memory_limit", together},
		"pids":                        {children, "pids_limit", together[4:6]},
		"pids of a chat":              {children, "pids_limit_per_chat", together[6:8]},
		"pids, with all others":       {children, "pids_limit", together},
		"pids of a chat, with others": {children, "pids_limit_per_chat", []string{"--pids-limit", "40", "--pids-limit-per-chat", "30", "--memory-limit", "32MiB"}},
	} {
		t.Run(name, func(t *testing.T) {
			users(t, func(t *testing.T, g group) {
				s := g.serve(t, test.flags...)
				neighbour := s.background("another", "exec sleep 1000")
				r := s.ended("c", s.background("c", test.command))
				if !slices.Equal(r.LimitsReached, []string{test.limit}) {
					t.Errorf("got %+v", r)
				}
				if test.command == hog && (r.Reason == nil || *r.Reason != test.limit || r.Signal == nil || *r.Signal != "SIGKILL") {
					t.Errorf("got %+v", r)
				}
				if test.command == children && (r.ExitCode == nil || *r.ExitCode != 9) {
					t.Errorf("no fork was refused: %+v", r)
				}
				s.kill("another", neighbour)
				if r := s.ended("another", neighbour); r.LimitsReached != nil {
					t.Errorf("its neighbour: %+v", r)
				}
			})
		})
	}
}

// A command that stays below its limits is not hindered, and its peak memory is reported.
func TestBelowTheLimits(t *testing.T) {
	users(t, func(t *testing.T, g group) {
		s := g.serve(t, together...)
		r := s.ended("c", s.background("c", `exec perl -e 'vec($x, (8<<20)-1, 8) = 1; exit 3'`))
		if r.ExitCode == nil || *r.ExitCode != 3 || r.LimitsReached != nil {
			t.Errorf("got %+v", r)
		}
		if r.Usage == nil || r.Usage.MaxMemoryBytes < 8<<20 || r.Usage.MaxMemoryBytes > 16<<20 {
			t.Errorf("usage %+v", r.Usage)
		}
	})
}

// In a chat that has as many processes as it may have, a start is refused with the name
// of the flag. That counts as no failed fork of the processes that run.
func TestAFullChatStartsNothing(t *testing.T) {
	users(t, func(t *testing.T, g group) {
		s := g.serve(t, "--pids-limit-per-chat", "2")
		first, second := s.background("c", "exec sleep 1000"), s.background("c", "exec sleep 1000")
		if _, refusal := s.ask("c", "process_start", map[string]any{"command": "true"}); !strings.Contains(refusal, "--pids-limit-per-chat") {
			t.Errorf("got %q", refusal)
		}
		if r := s.ended("another", s.background("another", "exit 3")); r.ExitCode == nil || *r.ExitCode != 3 {
			t.Errorf("another chat: %+v", r)
		}
		for _, id := range []string{first, second} {
			s.kill("c", id)
			if r := s.ended("c", id); r.LimitsReached != nil {
				t.Errorf("got %+v", r)
			}
		}
		if r := s.ended("c", s.background("c", "exit 3")); r.ExitCode == nil || *r.ExitCode != 3 {
			t.Errorf("once it is empty: %+v", r)
		}
	})
}

// While another chat runs a fork bomb and a memory hog, a chat can start, write to and
// read from processes, and keeps those that run.
func TestAQuietChatBesideABombAndAHog(t *testing.T) {
	users(t, func(t *testing.T, g group) {
		s := g.serve(t, together...)
		cat := s.call("quiet", "process_start", map[string]any{"command": "exec cat", "keep_stdin": true, "background": true}).ProcessID
		bomb := s.background("loud", `exec perl -e 'while (1) { fork; select undef, undef, undef, 0.1 }'`)
		hogs := s.background("loud", "while :; do ("+hog+"); done")
		bombs, kills := g.counter(t, "pids.events", "max"), g.counter(t, "memory.events", "oom_kill")
		for round := range 3 {
			refused, killed := bombs(), kills()
			until(t, "another fork refused and another hog killed", func() bool { return bombs() > refused && kills() > killed })
			if r := s.ended("quiet", s.background("quiet", "exit 3")); r.ExitCode == nil || *r.ExitCode != 3 {
				t.Errorf("got %+v", r)
			}
			line := "line " + strconv.Itoa(round)
			s.call("quiet", "process_input", map[string]any{"process_id": cat, "text": line + "\n", "wait_for": map[string]any{"output_matches": line}})
			s.await("quiet", cat, line+"\n")
		}
		for _, id := range []string{bomb, hogs} {
			s.kill("loud", id)
			s.ended("loud", id)
		}
		s.call("quiet", "process_input", map[string]any{"process_id": cat, "eof": true})
		if r := s.ended("quiet", cat); r.ExitCode == nil || *r.ExitCode != 0 || r.LimitsReached != nil {
			t.Errorf("the quiet chat's process: %+v", r)
		}
	})
}

// counter returns a function that adds up a counter of all cgroups of commands: the
// number behind key in a file.
func (g group) counter(t *testing.T, file, key string) func() int {
	return func() (sum int) {
		paths, err := filepath.Glob(g.dir + "/proctor-*/scope-*/*/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, _ := os.ReadFile(path)
			for line := range strings.Lines(string(text)) {
				if name, value, _ := strings.Cut(strings.TrimSpace(line), " "); name == key {
					n, _ := strconv.Atoi(value)
					sum += n
				}
			}
		}
		return sum
	}
}
