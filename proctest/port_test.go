package proctest

import (
	"fmt"
	"net"
	"testing"
)

// A port is refused until a server listens on it.
func TestAServerListensOnAReservedPort(t *testing.T) {
	address := fmt.Sprintf("127.0.0.1:%d", Port(t))
	if c, err := net.Dial("tcp", address); err == nil {
		c.Close()
		t.Error("somebody listens")
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}
