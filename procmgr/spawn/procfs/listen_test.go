//go:build linux

package procfs

import (
	"maps"
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/proctor-mcp/proctor/proctest"
)

// The kernel and /proc tell the same.
func TestListening(t *testing.T) {
	proctest.NeedIPv6(t)
	open := map[netip.AddrPort]bool{}
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0", "127.0.0.2:0"} {
		for range 40 {
			l, err := net.Listen("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			open[l.Addr().(*net.TCPAddr).AddrPort()] = true
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
	}
	own := map[uint64]bool{}
	if err := Sockets(os.Getpid(), func(inode uint64) { own[inode] = true }); err != nil {
		t.Fatal(err)
	}
	namespace, ok := NetNamespace(os.Getpid())
	if !ok {
		t.Error("no namespace")
	}
	type visitor = func(inode uint64, address []byte, port int)
	for name, list := range map[string]func(visitor) error{
		"kernel":     listeningHere,
		"proc":       func(v visitor) error { return listeningOf(os.Getpid(), v) },
		"either":     func(v visitor) error { return Listening(os.Getpid(), namespace, v) },
		"not nearby": func(v visitor) error { return Listening(os.Getpid(), 1, v) },
	} {
		found := map[netip.AddrPort]bool{}
		err := list(func(inode uint64, address []byte, port int) {
			if a, ok := netip.AddrFromSlice(address); own[inode] && ok {
				found[netip.AddrPortFrom(a, uint16(port))] = true
			}
		})
		if err != nil || !maps.Equal(found, open) {
			t.Errorf("%s: %d of %d, %v", name, len(found), len(open), err)
		}
	}
}
