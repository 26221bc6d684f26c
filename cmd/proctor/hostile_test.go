//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/proctest"
)

// The commands of these tests mean harm: they shed the marks by which a server
// knows its descendants, forge those of others, and attack the guard. All of it
// concerns the kill domain descendants; nothing leaves a cgroup.

// harmed starts a server in that kill domain.
func harmed(t *testing.T, as func(*exec.Cmd)) *server {
	t.Helper()
	return launchWith(t, as, nil, "stdio", "--kill-domain", "descendants", "--grace", "200ms")
}

// inChat calls a tool for a chat and returns what its agent reads.
func (s *server) inChat(chat, tool, arguments string) (text string) {
	s.t.Helper()
	s.id++
	fmt.Fprintf(s.in, `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":%s,"_meta":{"coder.com/chat-id":%q}}}`+"\n", s.id, tool, arguments, chat)
	line, err := s.out.ReadBytes('\n')
	if err != nil {
		s.t.Fatalf("%v; the log says %s", err, s.stderr)
	}
	var answer struct {
		Result struct{ Content []struct{ Text string } }
	}
	if err := json.Unmarshal(line, &answer); err != nil || len(answer.Result.Content) != 1 {
		s.t.Fatalf("%v: %s", err, line)
	}
	return answer.Result.Content[0].Text
}

// escape is a command that leaves one SLEEP behind that has shed its marks.
type escape struct {
	name, command string
	needs         string // a command that must work for it
}

const (
	// shed starts a program without the soft limit and the variable that mark it.
	shed = `prlimit --rttime=unlimited env -i `
	// quiet closes what a process inherits.
	quiet = ` </dev/null >/dev/null 2>&1 `
)

func escapes() []escape {
	const pid, user = `unshare -pf `, `unshare -Urpf `
	return []escape{
		{name: "child", command: `setsid ` + shed + `SLEEP` + quiet + `& wait`},
		{name: "orphan", command: `(setsid ` + shed + `SLEEP` + quiet + `&); exec sleep 1000`},
		{name: "orphan whose command has ended", command: `(setsid ` + shed + `SLEEP` + quiet + `&); exit 3`},
		{name: "leader", command: `exec ` + shed + `SLEEP` + quiet},
		// clone(2) with CLONE_PARENT: its parent is the server.
		{name: "sibling", command: fmt.Sprintf(`exec perl -e 'use POSIX; if (!syscall(%d, %d, 0, 0, 0, 0)) { setsid(); exec qw(%s SLEEP) } sleep 1000'%s`,
			syscall.SYS_CLONE, syscall.CLONE_PARENT|int(syscall.SIGCHLD), shed, quiet)},
		{name: "held by a subreaper", command: fmt.Sprintf(`exec perl -e 'use POSIX; syscall(%d, %d, 1, 0, 0, 0); if (!fork) { setsid(); if (!fork) { setsid(); exec qw(%s SLEEP) } exit } sleep 1000'%s`,
			syscall.SYS_PRCTL, unix.PR_SET_CHILD_SUBREAPER, shed, quiet)},
		{name: "leader without a death signal", command: fmt.Sprintf(`exec perl -e 'syscall(%d, %d, 0, 0, 0, 0); exec qw(%s SLEEP)'%s`,
			syscall.SYS_PRCTL, unix.PR_SET_PDEATHSIG, shed, quiet)},
		{name: "pid namespace", needs: pid + `true`, command: `(` + shed + `setsid ` + pid + `SLEEP` + quiet + `&); exec sleep 1000`},
		{name: "user and pid namespace", needs: user + `true`, command: `(` + shed + `setsid ` + user + `SLEEP` + quiet + `&); exec sleep 1000`},
		{name: "pid namespace whose command has ended", needs: user + `true`, command: `(` + shed + `setsid ` + user + `SLEEP` + quiet + `&); exit 3`},
	}
}

// start starts it in a chat and waits until it stands.
func (e escape) start(s *server, chat string) (id, token string) {
	s.t.Helper()
	sleep, token := proctest.Sleeper()
	s.t.Cleanup(func() { endSleepers(token) })
	text := s.inChat(chat, "process_start", `{"command":`+quoted(strings.ReplaceAll(e.command, "SLEEP", sleep))+`,"background":true}`)
	proctest.Await(s.t, "the escape stands", func() bool { return len(proctest.Sleepers(token)) == 1 })
	return processID(s.t, text), token
}

// endSleepers ends what a failed test leaves behind.
func endSleepers(token string) {
	for _, pid := range proctest.Sleepers(token) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// processID returns the id in an answer to a start: "Process ID: …", below notices of
// others.
func processID(t *testing.T, text string) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^Process (\S+):`).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("no process in %q", text)
	}
	return found[1]
}

func eachEscape(t *testing.T, test func(t *testing.T, as func(*exec.Cmd), e escape)) {
	proctest.Need(t, "prlimit", "setsid", "unshare", "perl")
	users(t, func(t *testing.T, as func(*exec.Cmd)) {
		for _, e := range escapes() {
			t.Run(e.name, func(t *testing.T) {
				if words := strings.Fields(e.needs); len(words) > 0 {
					cmd := exec.Command(words[0], words[1:]...)
					as(cmd)
					if err := cmd.Run(); err != nil {
						t.Skipf("SKIPPED: this user cannot %s: %v", e.needs, err)
					}
				}
				t.Parallel()
				test(t, as, e)
			})
		}
	})
}

func TestHostileKillFindsWhatShedItsMarks(t *testing.T) {
	t.Parallel()
	eachEscape(t, func(t *testing.T, as func(*exec.Cmd), e escape) {
		s := harmed(t, as)
		sleep, bystander := proctest.Sleeper()
		s.inChat("other", "process_start", `{"command":"exec `+sleep+`","background":true}`)
		id, token := e.start(s, "hostile")
		answer := s.inChat("hostile", "process_signal", `{"process_id":"`+id+`","signal":"kill","wait_ms":50000}`)
		if left := proctest.Sleepers(token); len(left) > 0 {
			t.Errorf("%d lives; the answer is %s", left, answer)
		}
		if len(proctest.Sleepers(bystander)) != 1 {
			t.Error("another chat's process was ended")
		}
	})
}

func TestHostileEndsWithTheServer(t *testing.T) {
	t.Parallel()
	eachEscape(t, func(t *testing.T, as func(*exec.Cmd), e escape) {
		s := harmed(t, as)
		_, token := e.start(s, "hostile")
		s.in.Close()
		s.awaitEnd()
		if left := proctest.Sleepers(token); len(left) > 0 {
			t.Errorf("%d lives on", left)
		}
	})
}

func TestHostileEndsWithAKilledServer(t *testing.T) {
	t.Parallel()
	eachEscape(t, func(t *testing.T, as func(*exec.Cmd), e escape) {
		s := harmed(t, as)
		_, token := e.start(s, "hostile")
		s.guard()
		s.killBesideGuard(token)
	})
}

func TestHostileEndsWithTheNextServer(t *testing.T) {
	t.Parallel()
	eachEscape(t, func(t *testing.T, as func(*exec.Cmd), e escape) {
		s := harmed(t, as)
		_, token := e.start(s, "hostile")
		if e.name == "leader" {
			t.Skip("the kernel ends it")
		}
		s.killWithGuard()
		if len(proctest.Sleepers(token)) == 0 {
			t.Log("another server was faster")
		}
		next := harmed(t, as)
		next.call("process_list", "{}")
		next.noneLeft(token)
	})
}

// killWithGuard kills the server and its guard in such a way that neither sees the
// end of the other.
func (s *server) killWithGuard() {
	s.t.Helper()
	guard := s.guard()
	s.cmd.Process.Signal(syscall.SIGSTOP)
	if err := syscall.Kill(guard, syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	s.cmd.Process.Kill()
	s.awaitEnd()
}

// awaitEnd waits until the server has ended.
func (s *server) awaitEnd() {
	s.t.Helper()
	proctest.Await(s.t, "the server ends", func() bool { return !proctest.Alive(s.cmd.Process.Pid) })
}

// daemon leaves a SLEEP behind that has wiped its environment but kept its limits.
const daemon = `(setsid env -i SLEEP` + quiet + `&); exec sleep 1000`

const nothingLeft = "Nothing is left alive."

// disarm has a command lower the server's own hard limits.
func (s *server) disarm(limits string) {
	s.t.Helper()
	answer := s.inChat("hostile", "process_start", `{"command":"prlimit --pid $PPID `+limits+`"}`)
	if !strings.Contains(answer, "exited with code 0") {
		s.t.Fatal(answer)
	}
}

// One tag that cannot be set any more is no loss: there is another.
func TestHostileDisarmsOneTag(t *testing.T) {
	t.Parallel()
	proctest.Need(t, "prlimit", "setsid")
	users(t, func(t *testing.T, as func(*exec.Cmd)) {
		for _, limit := range []string{"--rttime=1000000:1000000", "--locks=1000000:1000000"} {
			s := harmed(t, as)
			s.disarm(limit)
			s.inChat("busy", "process_start", `{"command":"exec sleep 1000","background":true}`)
			id, token := escape{command: daemon}.start(s, "other")
			answer := s.inChat("other", "process_signal", `{"process_id":"`+id+`","signal":"kill","wait_ms":50000}`)
			if left := proctest.Sleepers(token); len(left) > 0 || !strings.Contains(answer, nothingLeft) {
				t.Errorf("%s: %d lives; the answer is %s", limit, left, answer)
			}
			if !strings.Contains(s.stderr.String(), " ERR ") {
				t.Errorf("%s: the log does not tell: %s", limit, s.stderr)
			}
		}
	})
}

const bothTags = "--rttime=1000000:1000000 --locks=1000000:1000000"

// Without tags, what only one command can have left behind is its own, and what was its
// descendant when it was killed.
func TestHostileDisarmsAllTags(t *testing.T) {
	t.Parallel()
	proctest.Need(t, "prlimit", "setsid")
	users(t, func(t *testing.T, as func(*exec.Cmd)) {
		t.Run("alone", func(t *testing.T) {
			s := harmed(t, as)
			s.disarm(bothTags)
			id, token := escape{command: daemon}.start(s, "other")
			s.killsAll(id, token)
			s.doctorTells(as)
		})
		t.Run("beside others", func(t *testing.T) {
			s := harmed(t, as)
			s.disarm(bothTags)
			s.inChat("busy", "process_start", `{"command":"exec sleep 1000","background":true}`)
			id, token := escape{command: `setsid env -i SLEEP` + quiet + `& wait`}.start(s, "other")
			s.killsAll(id, token)
		})
	})
}

// killsAll kills a process of the chat "other" and tests that this ends all of it.
func (s *server) killsAll(id, token string) {
	s.t.Helper()
	answer := s.inChat("other", "process_signal", `{"process_id":"`+id+`","signal":"kill","wait_ms":20000}`)
	if left := proctest.Sleepers(token); len(left) > 0 {
		s.t.Errorf("%d lives; the answer is %s", left, answer)
	}
}

// doctorTells tests that proctor doctor tells of a server without tags.
func (s *server) doctorTells(as func(*exec.Cmd)) {
	s.t.Helper()
	s.guard()
	cmd := exec.Command(s.cmd.Path, "doctor")
	as(cmd)
	out, err := cmd.CombinedOutput()
	if want := fmt.Sprintf("tags of server %d", s.cmd.Process.Pid); err != nil || !strings.Contains(string(out), want) {
		s.t.Errorf("doctor does not tell %q: %v %s", want, err, out)
	}
}

// What several may have left behind is nobody's, and every answer that it matters to
// says so.
func TestHostileLeavesAnOrphanOfNobody(t *testing.T) {
	t.Parallel()
	proctest.Need(t, "prlimit", "setsid")
	users(t, func(t *testing.T, as func(*exec.Cmd)) {
		t.Run("of two chats", func(t *testing.T) {
			s := harmed(t, as)
			s.disarm(bothTags)
			busy := processID(t, s.inChat("busy", "process_start", `{"command":"exec sleep 1000","background":true}`))
			id, token := escape{command: daemon}.start(s, "other")
			for _, call := range []string{"kill", "kill again"} {
				answer := s.inChat("other", "process_signal", `{"process_id":"`+id+`","signal":"kill","wait_ms":20000}`)
				if len(proctest.Sleepers(token)) != 1 || !strings.Contains(answer, "1 process of this chat or another") || strings.Contains(answer, nothingLeft) {
					t.Errorf("%s: %v live; the answer is %s", call, proctest.Sleepers(token), answer)
				}
			}
			if list := s.inChat("other", "process_list", `{}`); !strings.Contains(list, "RLIMIT_LOCKS") || !strings.Contains(list, "1 process of this chat or another") {
				t.Errorf("the list does not tell it: %s", list)
			}
			if list := s.inChat("third", "process_list", `{}`); strings.Contains(list, "alive") {
				t.Errorf("the list tells a chat that it does not concern: %s", list)
			}
			if list := s.inChat("busy", "process_list", `{}`); !strings.Contains(list, busy+"  running") {
				t.Errorf("another chat's process was ended: %s", list)
			}
			s.in.Close()
			s.awaitEnd()
			if left := proctest.Sleepers(token); len(left) > 0 {
				t.Errorf("%d outlives the server", left)
			}
		})
		t.Run("of one chat", func(t *testing.T) {
			s := harmed(t, as)
			s.disarm(bothTags)
			s.inChat("other", "process_start", `{"command":"exec sleep 1000","background":true}`)
			id, token := escape{command: daemon}.start(s, "other")
			answer := s.inChat("other", "process_signal", `{"process_id":"`+id+`","signal":"kill","wait_ms":20000}`)
			if left := proctest.Sleepers(token); len(left) != 1 || !strings.Contains(answer, fmt.Sprintf("pid %d, sleep", left[0])) || strings.Contains(answer, nothingLeft) {
				t.Errorf("%v live; the answer is %s", left, answer)
			}
			answer = s.inChat("other", "process_signal", `{"all":true,"signal":"kill","wait_ms":20000}`)
			if left := proctest.Sleepers(token); len(left) > 0 {
				t.Errorf("%v live; the answer is %s", left, answer)
			}
		})
	})
}

// A process of one chat that forges the marks of another chat's next process is not
// booked on that.
func TestHostileForgesTheNextMark(t *testing.T) {
	t.Parallel()
	const (
		noTag    = `prlimit --pid $$ --rttime=unlimited; `
		noMarker = `unset PROCTOR_DOMAIN; `
		tag      = `prlimit --pid $$ --rttime=$(($(prlimit --pid $$ --rttime --raw --noheadings -o SOFT)+1)):; `
		locks    = `l=$(prlimit --pid $$ --locks --raw --noheadings -o SOFT); test $l = unlimited || prlimit --pid $$ --locks=$((l+1)):; `
		marker   = `PROCTOR_DOMAIN=${PROCTOR_DOMAIN%.*}.$((${PROCTOR_DOMAIN##*.}+1)); `
	)
	proctest.Need(t, "prlimit", "setsid")
	users(t, func(t *testing.T, as func(*exec.Cmd)) {
		for name, forge := range map[string]string{
			"tags": tag + locks + noMarker, "marker": noTag + marker, "tags and marker": tag + locks + marker,
		} {
			t.Run(name, func(t *testing.T) {
				s := harmed(t, as)
				sleep, token := proctest.Sleeper()
				t.Cleanup(func() { endSleepers(token) })
				cue, give := proctest.Cue(t)
				forger := forge + `(setsid sh -c 'read x < ` + cue + `; exec ` + sleep + `'` + quiet + `&); exec sleep 1000`
				s.inChat("hostile", "process_start", `{"command":`+quoted(forger)+`,"background":true}`)
				victim := processID(t, s.inChat("victim", "process_start", `{"command":"exec sleep 1000","background":true}`))
				give()
				proctest.Await(t, "the forger stands", func() bool { return len(proctest.Sleepers(token)) == 1 })
				if list := s.inChat("victim", "process_list", `{"usage":true}`); !strings.Contains(list, "in 1 process") {
					t.Errorf("the forger is booked on another chat: %s", list)
				}
				s.inChat("victim", "process_signal", `{"process_id":"`+victim+`","signal":"kill","wait_ms":50000}`)
				if len(proctest.Sleepers(token)) == 0 {
					t.Error("another chat's kill has ended the forger")
				}
			})
		}
	})
}

// A guard that may open nothing does its work all the same.
func TestHostileLowersTheGuardsLimits(t *testing.T) {
	t.Parallel()
	proctest.Need(t, "prlimit", "setsid")
	users(t, func(t *testing.T, as func(*exec.Cmd)) {
		s := harmed(t, as)
		token := s.startEverything()
		guard := strconv.Itoa(s.guard())
		s.inChat("hostile", "process_start", `{"command":"prlimit --pid `+guard+` --as=0:0 --data=0:0 --stack=0:0 --memlock=0:0 --rss=0:0 --nofile=0:0 --locks=0:0 --rttime=0:0 --nproc=0:0 --sigpending=0:0 --fsize=0:0"}`)
		s.killBesideGuard(token)
	})
}

// A server that a command stops answers as soon as it goes on, and has lost nothing; when
// it is killed instead, its guard ends everything.
func TestHostileStopsTheServer(t *testing.T) {
	t.Parallel()
	proctest.Need(t, "setsid")
	users(t, func(t *testing.T, as func(*exec.Cmd)) {
		s := harmed(t, as)
		token := s.startEverything()
		stop := func() {
			s.guard()
			if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		}
		stop()
		if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		s.startEverything()
		stop()
		s.killBesideGuard(token)
	})
}

// A child of the server that is no command, and nobody's, is reaped when it dies.
func TestHostileLeavesNoZombies(t *testing.T) {
	t.Parallel()
	proctest.Need(t, "perl", "prlimit")
	users(t, func(t *testing.T, as func(*exec.Cmd)) {
		s := harmed(t, as)
		s.inChat("busy", "process_start", `{"command":"exec sleep 1000","background":true}`)
		// The command ends when nothing shows any more whose the child is.
		e := escape{command: fmt.Sprintf(`exec perl -e 'use POSIX; my $p = syscall(%d, %d, 0, 0, 0, 0); if (!$p) { setsid(); exec qw(prlimit --locks=0:0 %s SLEEP) }
			until (open(F, "/proc/$p/comm") && <F> =~ /sleep/) { select(undef, undef, undef, 0.01) }'%s`,
			syscall.SYS_CLONE, syscall.CLONE_PARENT|int(syscall.SIGCHLD), shed, quiet)}
		_, token := e.start(s, "hostile")
		pid := proctest.Sleepers(token)[0]
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		proctest.Await(t, "it is reaped", func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH })
	})
}
