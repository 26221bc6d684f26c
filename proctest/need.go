package proctest

import (
	"os"
	"os/exec"
	"testing"
)

// requireVariable is set by test.sh once it has found or installed every program:
// then a test that lacks one fails.
const requireVariable = "PROCTEST_REQUIRE"

// Need skips the test if one of the programs is missing. Under test.sh, which
// installs all of them, it fails the test.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err == nil {
			continue
		}
		if os.Getenv(requireVariable) != "" {
			t.Fatalf("%s is missing, which test.sh has found or installed", program)
		}
		t.Skipf("SKIPPED: %s is missing", program)
	}
}

// NeedProgram is Need.
func NeedProgram(t testing.TB, program string) {
	t.Helper()
	Need(t, program)
}
