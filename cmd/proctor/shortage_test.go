//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/proctest"
	"github.com/proctor-mcp/proctor/schemas"
)

// within puts a program with its arguments before the server's command line.
func within(cmd *exec.Cmd, program string, args ...string) {
	path, err := exec.LookPath(program)
	if err != nil {
		panic(err)
	}
	cmd.Args = append(append([]string{path}, args...), append([]string{cmd.Path}, cmd.Args[1:]...)...)
	cmd.Path = path
}

// exhaust starts commands until the system refuses one.
func (s *server) exhaust(command string) (started int, refusal string) {
	s.t.Helper()
	for ; started < 1000; started++ {
		if _, refusal = s.ask("process_start", `{"command":`+quoted(command)+`,"background":true}`); refusal != "" {
			return started, refusal
		}
	}
	s.t.Fatal("nothing is refused")
	return
}

// recovers ends everything, and can start something again.
func (s *server) recovers(token string) {
	s.t.Helper()
	s.ask("process_signal", `{"all":true,"signal":"kill","wait_ms":5000}`)
	s.noneLeft(token)
	proctest.Await(s.t, "a start succeeds", func() bool {
		r, refusal := s.ask("process_start", `{"command":"echo again"}`)
		return refusal == "" && r.ProcessOutput.Output == "again\n"
	})
}

// A server without free descriptors sees what runs, reads and ends it.
func TestShortageOfDescriptors(t *testing.T) {
	proctest.Need(t, "prlimit", "setsid")
	users(t, func(t *testing.T, as func(*exec.Cmd)) {
		s := launchWith(t, func(cmd *exec.Cmd) {
			as(cmd)
			within(cmd, "prlimit", "--nofile=128")
		}, nil, "stdio", "--max-running-per-chat", "0")
		sleep, token := proctest.Sleeper()
		first := s.call("process_start", `{"command":`+quoted(`read _ < /proc/self/stat; setsid `+sleep+` & echo first; `+sleep)+`,"background":true}`)
		s.awaitOutput(first.ProcessID, "first")
		for round := range 3 {
			started, refusal := s.exhaust(`setsid ` + sleep + ` & exec ` + sleep)
			if started < 10 || !strings.Contains(refusal, "EMFILE") || !strings.Contains(refusal, "RLIMIT_NOFILE") {
				t.Errorf("round %d: %d were started, then: %s", round, started, refusal)
			}
			if round == 0 {
				if r := s.call("process_output", `{"process_id":"`+first.ProcessID+`","wait_ms":0}`); !r.Running || r.ProcessOutput.Output != "first\n" {
					t.Errorf("the first one is %+v", r)
				}
			}
			s.recovers(token)
		}
	})
}

// The same over HTTP, where silent connections want descriptors as well.
func TestConnectionsLeaveDescriptors(t *testing.T) {
	proctest.Need(t, "prlimit")
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root can count the descriptors of a server")
	}
	const limit = 128
	s := launchWith(t, func(cmd *exec.Cmd) { within(cmd, "prlimit", fmt.Sprintf("--nofile=%d", limit)) },
		nil, "serve", "--no-auth", "--listen", "127.0.0.1:0", "--max-connections", "0", "--max-running-per-chat", "0", "--log-format", "json")
	address := s.address()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	ask := func(tool, arguments string) (r schemas.StartResult, refused bool) {
		t.Helper()
		body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool + `","arguments":` + arguments + `}}`
		response, err := client.Post("http://"+address+"/mcp", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var answer struct {
			Result struct {
				IsError           bool
				StructuredContent schemas.StartResult
			}
		}
		if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		return answer.Result.StructuredContent, answer.Result.IsError
	}
	sleep, token := proctest.Sleeper()
	start := `{"command":` + quoted("exec "+sleep) + `,"background":true}`
	ask("process_list", `{}`) // the client has its connection
	silent := func() (conns []net.Conn) {
		t.Helper()
		for range limit {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			conns = append(conns, c)
		}
		return conns
	}
	open := func() int {
		t.Helper()
		fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	first := silent()
	proctest.Await(t, "the connections are open", func() bool { return open() >= limit/2 })
	for range 5 {
		if _, refused := ask("process_start", start); refused {
			t.Fatal("silent connections keep a process from being started")
		}
	}
	for _, c := range first {
		c.Close()
	}
	// Else a start is refused for the connections that the server has yet to close.
	proctest.Await(t, "the connections are closed", func() bool { return open() < limit/2 })
	proctest.Await(t, "processes have taken what they may", func() bool {
		_, refused := ask("process_start", start)
		return refused
	})
	// Of those that come now the last are closed at once.
	second := silent()
	last := second[len(second)-1]
	if _, err := last.Read(make([]byte, 1)); err == nil { // else it waits for ever
		t.Error("a connection that should be closed is answered")
	}
	ask("process_signal", `{"all":true,"signal":"kill","wait_ms":5000}`)
	s.noneLeft(token)
}

// alone has a command run as a user who has nothing else: what a user may have is
// counted for all of his programs.
func alone(t *testing.T, cmd *exec.Cmd) {
	id := uint32(proctest.OtherUser(t))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id}}
	cmd.Dir = "/"
}

// bounds are the ways to bound processes and threads.
func bounds(t *testing.T, test func(t *testing.T, name string, bound func(t *testing.T, cmd *exec.Cmd, most int))) {
	t.Run("of the user", func(t *testing.T) {
		proctest.Need(t, "prlimit", "setsid")
		test(t, "RLIMIT_NPROC", func(t *testing.T, cmd *exec.Cmd, most int) {
			alone(t, cmd)
			within(cmd, "prlimit", fmt.Sprintf("--nproc=%d", most))
		})
	})
	t.Run("of the cgroup", func(t *testing.T) {
		test(t, "pids.max", func(t *testing.T, cmd *exec.Cmd, most int) {
			dir, err := os.MkdirTemp("/sys/fs/cgroup/pids", "proctor-test-")
			if err != nil {
				dir, err = os.MkdirTemp("/sys/fs/cgroup", "proctor-test-")
			}
			if err != nil {
				t.Skip("SKIPPED: no cgroup can be made:", err)
			}
			t.Cleanup(func() {
				proctest.Await(t, "the cgroup is empty", func() bool { return !errors.Is(os.Remove(dir), syscall.EBUSY) })
			})
			if err := os.WriteFile(dir+"/pids.max", []byte(strconv.Itoa(most)), 0); err != nil {
				t.Skip("SKIPPED: processes cannot be bounded:", err)
			}
			within(cmd, "sh", "-c", `echo $$ > `+dir+`/cgroup.procs && exec "$@"`, "sh")
		})
	})
}

// A server that may have few threads and processes lives on when it gets no more.
func TestShortageOfProcesses(t *testing.T) {
	bounds(t, func(t *testing.T, _ string, bound func(*testing.T, *exec.Cmd, int)) {
		for _, most := range []int{16, 20, 24, 40} {
			t.Run(strconv.Itoa(most), func(t *testing.T) {
				var s *server
				// It is gone before its cgroup is removed.
				t.Run("server", func(t *testing.T) {
					s = launchWith(t, func(cmd *exec.Cmd) { bound(t, cmd, most) }, nil, "stdio", "--max-running-per-chat", "0")
					sleep, token := proctest.Sleeper()
					for range 3 {
						if _, refusal := s.exhaust(`setsid ` + sleep + ` & exec ` + sleep); !strings.Contains(refusal, "EAGAIN") || !strings.Contains(refusal, "RLIMIT_NPROC") {
							t.Errorf("got %s", refusal)
						}
						if most > 25 { // the server and its guard may take that many for themselves
							s.recovers(token)
						}
					}
					s.call("process_list", `{}`)
				})
				if s == nil {
					t.SkipNow() // as the one within
				}
				if code := s.cmd.ProcessState.ExitCode(); code != 0 {
					t.Errorf("the server ended with %d: %s", code, s.stderr)
				}
			})
		}
	})
}

func TestTooFewThreadsAreRefusedAtTheStart(t *testing.T) {
	bounds(t, func(t *testing.T, name string, bound func(*testing.T, *exec.Cmd, int)) {
		binary, err := build()
		if err != nil {
			t.Fatal(err)
		}
		const most = 12 // the runtime may come to 10 before it can be asked
		for _, command := range [][]string{{"stdio"}, {"serve", "--listen", "127.0.0.1:0", "--no-auth"}, {"call", "process_list"}} {
			t.Run(command[0], func(t *testing.T) {
				cmd := exec.Command(binary, command...)
				bound(t, cmd, most)
				out, _ := cmd.CombinedOutput()
				if text := string(out); cmd.ProcessState.ExitCode() != exitFailure || !strings.Contains(text, fmt.Sprintf("%s allows %d ", name, most)) || !strings.Contains(text, "it needs 16") {
					t.Errorf("exit %d: %s", cmd.ProcessState.ExitCode(), text)
				}
			})
		}
	})
}

// What is too large for the kernel is told by name, and starts nothing.
func TestTooMuchEnvironment(t *testing.T) {
	s := launch(t, nil, "stdio", "--max-running-per-chat", "0")
	env := map[string]string{}
	for i := range 56 { // 7 MiB: the kernel never takes more than 6
		env[fmt.Sprint("V", i)] = strings.Repeat("x", 128_000)
	}
	arguments, err := json.Marshal(map[string]any{"command": "true", "env": env})
	if err != nil {
		t.Fatal(err)
	}
	if _, refusal := s.ask("process_start", string(arguments)); !strings.Contains(refusal, "E2BIG") || !strings.Contains(refusal, "131071 bytes") {
		t.Errorf("got %.500s", refusal)
	}
	if r := s.call("process_start", `{"command":"echo in step"}`); r.ProcessOutput.Output != "in step\n" {
		t.Errorf("got %+v", r)
	}
}

// What the system refuses a server is told by the name of the error; only a cgroup
// is done without.
func TestRefusalsOfTheSystem(t *testing.T) {
	proctest.Need(t, "setpriv")
	users(t, func(t *testing.T, as func(*exec.Cmd)) {
		for _, c := range []struct {
			call  string
			errno syscall.Errno
			want  string // none: it starts
		}{
			{"pipe2", unix.ENFILE, "ENFILE"},
			{"fork", unix.ENOMEM, "ENOMEM"},
			{"fork", unix.EAGAIN, "EAGAIN"},
			{"fork", unix.ENOSPC, "ENOSPC"},
			{"mkdirat", unix.ENOSPC, ""},
		} {
			t.Run(c.call+" "+unix.ErrnoName(c.errno), func(t *testing.T) {
				self, err := os.Executable()
				if err != nil {
					t.Fatal(err)
				}
				s := launchWith(t, func(cmd *exec.Cmd) {
					as(cmd)
					if a := cmd.SysProcAttr; a != nil && a.Credential != nil { // who may not read this program
						id := fmt.Sprint(a.Credential.Uid)
						within(cmd, "setpriv", "--reuid", id, "--regid", id, "--clear-groups")
						a.Credential = nil
					}
					within(cmd, self, "refuse", c.call, strconv.Itoa(int(c.errno)))
				}, nil, "stdio", "--max-running-per-chat", "0")
				for range 3 {
					r, refusal := s.ask("process_start", `{"command":"echo started"}`)
					if c.want == "" && r.ProcessOutput.Output != "started\n" || c.want != "" && !strings.Contains(refusal, c.want+", ") {
						t.Errorf("got %q, %s", r.ProcessOutput.Output, refusal)
					}
				}
				s.call("process_list", `{}`)
			})
		}
	})
}

// refuse runs a program to which the kernel refuses a system call: args are the
// call, the number of the error, and the program with its arguments. It is for
// shortages that no limit of a single program brings about.
func refuse(args []string) {
	errno, err := strconv.Atoi(args[1])
	if err != nil {
		panic(err)
	}
	const number, firstArgument = 0, 16 // offsets in struct seccomp_data, seccomp(2)
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	equal := func(k int, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(k), Jt: yes, Jf: no}
	}
	result := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	allow, deny := result(unix.SECCOMP_RET_ALLOW), result(unix.SECCOMP_RET_ERRNO|uint32(errno))
	filter := map[string][]unix.SockFilter{
		"pipe2":   {load(number), equal(unix.SYS_PIPE2, 0, 1), deny, allow},
		"mkdirat": {load(number), equal(unix.SYS_MKDIRAT, 0, 1), deny, allow},
		// Threads of the program itself are let through. A filter cannot read what
		// clone3(2) is told, so there is none, and everybody uses clone(2).
		"fork": {load(number), equal(unix.SYS_CLONE3, 5, 0), equal(unix.SYS_CLONE, 0, 2), load(firstArgument),
			{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: unix.CLONE_THREAD, Jt: 0, Jf: 1}, allow, deny,
			result(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS))},
	}[args[0]]
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		panic(err)
	}
	if _, _, errno := syscall.Syscall(syscall.SYS_PRCTL, unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program))); errno != 0 {
		panic(errno)
	}
	panic(unix.Exec(args[2], args[2:], os.Environ()))
}
