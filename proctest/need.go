package proctest

import (
	"net"
	"os"
	"os/exec"
	"regexp"
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

// beyondCoreutils are the programs in commands of tests that a system with a shell
// and coreutils may lack.
var beyondCoreutils = regexp.MustCompile(`\b(awk|bash|bc|curl|dash|find|grep|gzip|less|mount|node|perl|prlimit|ps|python3|sed|setpriv|setsid|top|vim|xargs)\b`)

// NeedFor is Need for the programs that a shell command names.
func NeedFor(t testing.TB, command string) {
	t.Helper()
	Need(t, beyondCoreutils.FindAllString(command, -1)...)
}

// NeedProgram is Need.
func NeedProgram(t testing.TB, program string) {
	t.Helper()
	Need(t, program)
}

// NeedIPv6 skips the test where ::1 is no address.
func NeedIPv6(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("SKIPPED: no IPv6:", err)
	}
	l.Close()
}
