//go:build !linux

package proctest

import (
	"net"
	"testing"
)

// Port returns a TCP port of 127.0.0.1 on which nobody listens at the moment: only
// Linux keeps one for a server that is still to come.
func Port(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
