//go:build linux

package vm

import (
	"slices"
	"testing"
)

func TestLimits(t *testing.T) {
	hog := "exec perl -e 'vec($x, (100<<20)-1, 8) = 1; sleep 1000'"
	bomb := "perl -e 'for (1..50) { fork // exit 9 or sleep 1000 } exit 1'"
	for _, test := range []struct {
		name, limit, command string
		flags                []string
	}{
		{"memory", "memory_limit", hog, []string{"--memory-limit", "32MiB"}},
		{"memory of a chat", "memory_limit_per_chat", hog, []string{"--memory-limit-per-chat", "32MiB"}},
		{"pids", "pids_limit", bomb, []string{"--pids-limit", "20"}},
		{"pids of a chat", "pids_limit_per_chat", bomb, []string{"--pids-limit-per-chat", "20"}},
		{"memory, beside all", "memory_limit", hog, []string{"--memory-limit", "32MiB", "--memory-limit-per-chat", "64MiB", "--pids-limit", "20", "--pids-limit-per-chat", "40"}},
		{"pids, beside all", "pids_limit", bomb, []string{"--memory-limit", "32MiB", "--memory-limit-per-chat", "64MiB", "--pids-limit", "20", "--pids-limit-per-chat", "40"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			users(t, func(t *testing.T, g group) {
				s := g.serve(t, test.flags...)
				r := s.ended("c", s.background("c", test.command))
				if !slices.Equal(r.LimitsReached, []string{test.limit}) {
					t.Errorf("got %+v", r)
				}
			})
		})
	}
}
