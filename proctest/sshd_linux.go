package proctest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

// SSHD starts an SSH server of its own on a free loopback port, with keys that end
// with the test, and returns what ssh(1) needs to reach it as this user: options,
// then the host.
func SSHD(t testing.TB) (arguments []string) {
	t.Helper()
	const program = "/usr/sbin/sshd" // it runs itself anew and wants to know where it is
	Need(t, "ssh", "ssh-keygen", program)
	if os.Getuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // where it locks itself in
			t.Skip("SKIPPED: sshd has no /run/sshd:", err)
		}
	}
	self, err := user.Current()
	if err != nil {
		t.Skip("SKIPPED: ssh wants a user with a name:", err)
	}
	dir := t.TempDir()
	for _, name := range []string{"host", "user"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, name)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	config := fmt.Sprintf("HostKey %s/host\nAuthorizedKeysFile %s/user.pub\nPidFile none\n", dir, dir) +
		"UsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin yes\n"
	if err := os.WriteFile(dir+"/config", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	// The port is open before there is a server, which inetd's mode makes possible: no
	// other program can come to it in between.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(dir + "/log")
	if err != nil {
		t.Fatal(err)
	}
	s := &sshd{argv: []string{program, "-i", "-e", "-f", dir + "/config"}, log: log}
	var accepting sync.WaitGroup
	accepting.Go(func() { s.accept(l) })
	t.Cleanup(func() {
		l.Close()
		accepting.Wait()
		s.end()
		log.Close()
		if text, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("%s", text)
		}
	})
	return []string{
		"-F", "none", "-p", strconv.Itoa(l.Addr().(*net.TCPAddr).Port), "-i", dir + "/user", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", self.Username + "@127.0.0.1",
	}
}

// sshd has a server for each connection.
type sshd struct {
	argv    []string
	log     *os.File
	servers []*exec.Cmd
}

// accept starts servers until the listener is closed.
func (s *sshd) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		cmd := exec.Command(s.argv[0], s.argv[1:]...)
		file, err := conn.(*net.TCPConn).File()
		conn.Close()
		if err == nil {
			cmd.Stdin, cmd.Stdout, cmd.Stderr = file, file, s.log
			err = cmd.Start()
			file.Close()
		}
		if err != nil {
			fmt.Fprintln(s.log, err)
			continue
		}
		s.servers = append(s.servers, cmd)
	}
}

// end ends the servers whose connections are still open.
func (s *sshd) end() {
	for _, cmd := range s.servers {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}
