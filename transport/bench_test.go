//go:build linux

package transport

import (
	"bufio"
	"io"
	"testing"

	"github.com/proctor-mcp/proctor/caller"
)

// BenchmarkStdioList measures the round trip of a call that does next to nothing: the way
// in and out.
func BenchmarkStdioList(b *testing.B) {
	in, out, _ := newServing(b, b.TempDir(), io.Discard).stdio(b, caller.Identity{Token: "stdio", DefaultChat: "c"})
	roundTrip(b, in, out, callMessage(1, "process_start", `{"command":"exec sleep 100","background":true}`))
	message := callMessage(1, "process_list", `{}`)
	b.ReportAllocs()
	for b.Loop() {
		roundTrip(b, in, out, message)
	}
}

func roundTrip(b *testing.B, in io.Writer, out *bufio.Reader, message string) {
	b.Helper()
	if _, err := io.WriteString(in, message); err != nil {
		b.Fatal(err)
	}
	if _, err := out.ReadSlice('\n'); err != nil && err != bufio.ErrBufferFull {
		b.Fatal(err)
	}
}
