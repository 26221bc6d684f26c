//go:build linux

package procmgr

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"testing"

	"github.com/proctor-mcp/proctor/proctest"
)

// listener returns a command that listens on one free port of all addresses, and prints
// it.
func listener(t testing.TB, addresses string) string {
	t.Helper()
	proctest.Need(t, "node")
	return fmt.Sprintf(`node -e '
		const all = "%s".split(" ");
		const listen = ([address, ...more], port) => require("net").createServer().on("error", () => {
			listen(all, 0); // somebody else has it
		}).listen({port, host: address, ipv6Only: true}, function () {
			more.length ? listen(more, this.address().port) : console.log("port " + this.address().port + ".");
		});
		listen(all, 0)'`, addresses)
}

// awaitPort returns the port that a process prints.
func awaitPort(t testing.TB, m *Manager, p Process) int {
	t.Helper()
	var port int
	number := regexp.MustCompile(`port (\d+)[. ]`)
	proctest.Within(t, "a port is printed", func() bool {
		_, view := of(t, m, p).View()
		if found := number.FindStringSubmatch(view.Text); found != nil {
			port, _ = strconv.Atoi(found[1])
		}
		return port > 0
	})
	return port
}

func TestPorts(t *testing.T) {
	m := newManager(t, Options{})
	proctest.Need(t, "python3", "setsid")
	// It listens all the while, and nowhere below.
	awaitPort(t, m, start(t, m, Chat("d"), Spec{Command: listener(t, "127.0.0.1")}))

	for name, c := range map[string]struct {
		command string
		want    []string
		leaves  bool // the process group
	}{
		"python":  {`exec python3 -u -m http.server 0 --bind 127.0.0.1`, []string{"127.0.0.1"}, false},
		"IPv6":    {listener(t, "::1"), []string{"::1"}, false},
		"both":    {listener(t, "::1 127.0.0.1"), []string{"127.0.0.1", "::1"}, false},
		"any":     {listener(t, "0.0.0.0"), []string{"0.0.0.0"}, false},
		"any, 6":  {listener(t, "::"), []string{"::"}, false},
		"mapped":  {`exec python3 -uc 'import socket, time; s = socket.socket(socket.AF_INET6); s.bind(("::ffff:127.0.0.1", 0)); s.listen(); print("port %d." % s.getsockname()[1]); time.sleep(300)'`, []string{"127.0.0.1"}, false},
		"child":   {listener(t, "127.0.0.1") + " & wait", []string{"127.0.0.1"}, false},
		"setsid":  {"setsid " + listener(t, "127.0.0.1") + " & wait", []string{"127.0.0.1"}, true},
		"daemon":  {"(setsid " + listener(t, "127.0.0.1") + " &)", []string{"127.0.0.1"}, true},
		"workers": {`python3 -uc 'import os, socket, time; s = socket.create_server(("127.0.0.1", 0)); os.fork(); os.fork(); print("port %d." % s.getsockname()[1]); time.sleep(300)'`, []string{"127.0.0.1"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if c.leaves && host.KillDomain() == "process_group" {
				t.Skip("the process group does not hold it")
			}
			p := sh(t, m, c.command)
			port := awaitPort(t, m, p)
			var want []Port
			for _, address := range c.want {
				want = append(want, Port{Port: port, Address: address})
			}
			if got, err := of(t, m, p).Ports(); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, %v; want %v", got, err, want)
			}
			kill(t, m, p)
			if got, err := of(t, m, p).Ports(); err != nil || got != nil {
				t.Errorf("ended: got %v, %v", got, err)
			}
		})
	}
}

// Neither a connection nor a socket that does not listen counts as a port.
func TestOnlyListeningPorts(t *testing.T) {
	proctest.Need(t, "python3")
	m := newManager(t, Options{})
	p := sh(t, m, `exec python3 -uc '
import socket, time
s = socket.create_server(("127.0.0.1", 0))
c = [socket.create_connection(s.getsockname()) for _ in range(60)]
a = [s.accept()[0] for _ in c]
b = socket.socket(); b.bind(("127.0.0.1", 0))
u = socket.socket(type=socket.SOCK_DGRAM); u.bind(("127.0.0.1", 0))
many = [socket.create_server(("127.0.0.2", 0)) for _ in range(100)]
print("port %d." % s.getsockname()[1]); time.sleep(300)'`)
	port := awaitPort(t, m, p)
	got, err := of(t, m, p).Ports()
	n := 0
	for i, listening := range got {
		if i > 0 && got[i-1].Port > listening.Port {
			t.Errorf("%v before %v", got[i-1], listening)
		}
		if listening == (Port{Port: port, Address: "127.0.0.1"}) {
			n++
		} else if listening.Address != "127.0.0.2" {
			t.Errorf("got %v", listening)
		}
	}
	if err != nil || n != 1 || len(got) != 101 {
		t.Errorf("got %d, %v; %d are right", len(got), err, n)
	}
}

// The ports of a sandbox with its own network are listed, though nothing outside can reach
// them.
func TestPortsBehindBubblewrap(t *testing.T) {
	m := newManager(t, Options{Launcher: bubblewrap(t, "--unshare-net")})
	p := sh(t, m, listener(t, "127.0.0.1"))
	port := awaitPort(t, m, p)
	if got, err := of(t, m, p).Ports(); err != nil || !reflect.DeepEqual(got, []Port{{Port: port, Address: "127.0.0.1"}}) {
		t.Errorf("got %v, %v; want %d", got, err, port)
	}
}

// Ports are seen when the command has become another user's.
func TestPortsOfAnotherUser(t *testing.T) {
	proctest.Need(t, "setpriv")
	other := proctest.OtherUser(t)
	become := fmt.Sprintf("setpriv --reuid %d --regid %d --clear-groups ", other, other)
	m := newManager(t, Options{})
	p := sh(t, m, become+listener(t, "127.0.0.1"))
	port := awaitPort(t, m, p)
	if got, err := of(t, m, p).Ports(); err != nil || !reflect.DeepEqual(got, []Port{{Port: port, Address: "127.0.0.1"}}) {
		t.Errorf("got %v, %v; want %d", got, err, port)
	}
}

// Processes that begin and end meanwhile cause no error.
func TestPortsAmongShortProcesses(t *testing.T) {
	m := newManager(t, Options{})
	p := sh(t, m, listener(t, "127.0.0.1")+" & while :; do /bin/true; done")
	want := []Port{{Port: awaitPort(t, m, p), Address: "127.0.0.1"}}
	for range 200 {
		if got, err := of(t, m, p).Ports(); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v, %v; want %v", got, err, want)
		}
	}
}

func TestNoPorts(t *testing.T) {
	m := newManager(t, Options{})
	p := sh(t, m, "exec sleep 100")
	if got, err := of(t, m, p).Ports(); err != nil || got != nil {
		t.Errorf("got %v, %v", got, err)
	}
}
