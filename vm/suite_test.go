//go:build linux

package vm

import (
	"regexp"
	"strings"
	"testing"
)

// TestSpawn runs tests of package spawn that concern cgroups: every shape of process
// tree is killed, the pool of cgroups is disturbed, every limit is reached. Limits
// are set before anything is started, so they have a process of their own.
func TestSpawn(t *testing.T) {
	for name, parts := range map[string][]string{
		"kills":  {"KillEnds", "ASpoiltCgroup", "NoMoreCgroups"},
		"limits": {"Limit", "ThreadsComeBack"},
	} {
		t.Run(name, func(t *testing.T) {
			users(t, func(t *testing.T, g group) {
				out, err := g.run(t, "/tests/spawn.test", "-test.v", "-domain", "cgroup", "-test.run", strings.Join(parts, "|"))
				for _, part := range parts {
					if !regexp.MustCompile(`(?m)^--- PASS: \w*` + part).MatchString(out) {
						t.Errorf("no test passed that is named after %s", part)
					}
				}
				if err != nil || t.Failed() {
					t.Errorf("%v:\n%s", err, out)
				}
			})
		})
	}
}
