//go:build linux

package transport

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// A request whose end can be read in two ways is answered, and its connection is closed:
// the bytes behind it may be no request at all (RFC 9112, 6.1 and 6.3).
func TestAnAmbiguousEndClosesTheConnection(t *testing.T) {
	s := newServing(t, t.TempDir(), io.Discard)
	socket := t.TempDir() + "/proctor.sock"
	listener, err := Listen("unix:"+socket, s.log)
	if err != nil {
		t.Fatal(err)
	}
	tcp := strings.TrimPrefix(s.http(t, nil), "http://")
	s.serve(t, nil, listener)
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	events, endpoint := openSSE(t, c, "http://"+tcp)
	message := strings.TrimPrefix(endpoint, "http://"+tcp)

	const ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(ping), ping)
	length := fmt.Sprintf("Content-Length: %d\r\n", len(ping))
	for name, request := range map[string]struct {
		version, headers, body string
		closed                 bool
	}{
		"length first":   {"1.1", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", chunked, true},
		"encoding first": {"1.1", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", chunked, true},
		"in capitals":    {"1.1", "CONTENT-LENGTH: 5\r\nTRANSFER-ENCODING: Chunked\r\n", chunked, true},
		"HTTP/1.0":       {"1.0", "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n" + length, ping, true},
		"length alone":   {"1.1", length, ping, false},
	} {
		for _, to := range []struct{ network, address, path string }{
			{"tcp", tcp, "/mcp"}, {"unix", socket, "/mcp"}, {"tcp", tcp, message},
		} {
			t.Run(name+" "+to.network+strings.SplitN(to.path, "?", 2)[0], func(t *testing.T) {
				conn, err := net.Dial(to.network, to.address)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				in := bufio.NewReader(conn)
				send := func() {
					fmt.Fprintf(conn, "POST %s HTTP/%s\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n%s\r\n%s", to.path, request.version, secret, request.headers, request.body)
				}
				send()
				response, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatal(err)
				}
				text, _ := io.ReadAll(response.Body)
				if to.path != "/mcp" {
					text = []byte(event(t, events))
				}
				if !strings.Contains(string(text), `"result":{}`) {
					t.Errorf("got %s: %s", response.Status, text)
				}
				if !request.closed {
					send()
					if _, err := http.ReadResponse(in, nil); err != nil {
						t.Errorf("the connection is not kept: %v", err)
					}
					if to.path != "/mcp" {
						event(t, events)
					}
					return
				}
				if _, err := in.ReadByte(); err != io.EOF || !response.Close {
					t.Errorf("the connection is kept: %v", err)
				}
			})
		}
	}
}
