//go:build linux

package vm

import (
	"regexp"
	"strings"
	"testing"
)

// TestSpawn runs tests of package spawn: every shape of process tree is killed, and
// cgroups of the pool are killed by somebody else or cannot be made.
func TestSpawn(t *testing.T) {
	tests := []string{"KillEndsEveryShape", "ASpoiltCgroupIsNotUsedAgain", "NoMoreCgroups"}
	users(t, func(t *testing.T, g group) {
		out, err := g.run(t, "/tests/spawn.test", "-test.v", "-domain", "cgroup", "-test.run", "^Test("+strings.Join(tests, "|")+")$")
		for _, name := range tests {
			if !regexp.MustCompile(`(?m)^--- PASS: Test` + name + ` `).MatchString(out) {
				t.Errorf("Test%s did not pass", name)
			}
		}
		if err != nil || t.Failed() {
			t.Errorf("%v:\n%s", err, out)
		}
	})
}
