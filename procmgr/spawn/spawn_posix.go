//go:build linux || darwin

package spawn

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a started command and its process group.
type Process struct {
	pid    int
	handle handle   // the kernel's handle of the leader, where there is one
	output *os.File // our end of the pipe

	settled chan struct{} // closed when everything written before the exit was delivered

	mu     sync.Mutex // guards the fields below, and excludes signalling from reaping
	ended  bool       // the exit was seen
	reaped bool       // the leader's number may belong to another process
	gone   bool       // the group is empty for good
	input  *os.File   // what is left of stdin, until written or ended
}

// Start runs cmd and returns once its program runs. The error says why it does
// not, and nothing is left behind then.
func (s *Spawner) Start(cmd Command, events Events) (*Process, error) {
	search := cmd.Search
	if search == nil {
		search = cmd.Env
	}
	path, err := lookPath(cmd.Argv[0], search)
	if err != nil {
		return nil, err
	}
	output, outputEnd, err := pipe()
	if err != nil {
		return nil, err
	}
	defer unix.Close(outputEnd)
	input, inputEnd, err := openInput(cmd.Stdin)
	if err != nil {
		output.Close()
		return nil, err
	}
	defer unix.Close(inputEnd)

	p := &Process{output: output, input: input, settled: make(chan struct{})}
	attr := &syscall.ProcAttr{
		Dir:   cmd.Dir,
		Env:   cmd.Env,
		Files: []uintptr{uintptr(inputEnd), uintptr(outputEnd), uintptr(outputEnd)},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	}
	p.pid, p.handle, err = forkExec(path, cmd.Argv, attr)
	if err != nil {
		output.Close()
		p.closeInput()
		return nil, err
	}
	if s.testNoHandle {
		p.handle.close()
		p.handle = handle{}
	}
	s.wg.Go(func() { s.read(p, events) })
	s.wg.Go(func() { p.follow(events) })
	if input != nil {
		s.wg.Go(func() {
			input.Write(cmd.Stdin) // a reader that went away is no concern of ours
			p.closeInput()
		})
	}
	return p, nil
}

// Pid is the kernel's number of the command. It may be used again once the
// exit was announced.
func (p *Process) Pid() int { return p.pid }

// follow sees the exit, lets the output settle, reaps and announces.
func (p *Process) follow(events Events) {
	p.awaitExit()
	at := time.Now()
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.output.SetReadDeadline(at.Add(DrainTime))
	<-p.settled

	p.mu.Lock()
	exit := reap(p.pid)
	p.reaped = true
	if left, err := p.reapedMembersLocked(); err == nil && len(left) == 0 {
		p.setGoneLocked()
	}
	p.mu.Unlock()
	p.closeInput()
	exit.At = at
	events.Exited(exit)
}

// reap takes the leader's status. It does not block: the exit was seen.
func reap(pid int) Exit {
	var status unix.WaitStatus
	var usage unix.Rusage
	for {
		got, err := unix.Wait4(pid, &status, 0, &usage)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil || got != pid:
			return Exit{Code: -1, Lost: true}
		}
		exit := Exit{
			Code:   -1,
			User:   time.Duration(usage.Utime.Nano()),
			System: time.Duration(usage.Stime.Nano()),
			MaxRSS: maxRSS(&usage),
		}
		if status.Signaled() {
			exit.Signal = signalName(status.Signal())
		} else {
			exit.Code = status.ExitStatus()
		}
		return exit
	}
}

func signalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return sig.String()
}

// read delivers the output until the last holder of the pipe closes it. That it
// is closed is told before the exit can be.
func (s *Spawner) read(p *Process, events Events) {
	settle := sync.OnceFunc(func() { close(p.settled) })
	defer settle()
	defer events.OutputClosed()
	defer p.output.Close()
	raw, err := p.output.SyscallConn()
	if err != nil {
		return
	}
	for {
		more, err := s.readSome(raw, readBytes, events.Output)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			// The command has ended and someone else holds the pipe. What is in
			// it now holds all that the command wrote; nobody else reads it, so
			// it is there until taken.
			p.output.SetReadDeadline(time.Time{})
			for left := unread(raw); left > 0; {
				n, err := s.readSome(raw, left, events.Output)
				if n == 0 || err != nil {
					return
				}
				left -= n
			}
			settle()
		case err != nil || more == 0:
			return
		}
	}
}

// readSome waits until there is output and delivers at most limit bytes of it.
// It returns 0 at the end. While it waits it holds no buffer.
func (s *Spawner) readSome(raw syscall.RawConn, limit int, deliver func([]byte)) (n int, err error) {
	waitErr := raw.Read(func(fd uintptr) bool {
		buffer := s.buffers.Get().(*[readBytes]byte)
		defer s.buffers.Put(buffer)
		for {
			n, err = unix.Read(int(fd), buffer[:min(limit, readBytes)])
			if err != unix.EINTR {
				break
			}
		}
		if err == unix.EAGAIN {
			return false
		}
		if n > 0 {
			deliver(buffer[:n])
		}
		return true
	})
	if waitErr != nil {
		return 0, waitErr
	}
	return max(n, 0), err
}

// unread returns how many bytes wait in the pipe.
func unread(raw syscall.RawConn) (n int) {
	raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), ioctlUnread) })
	return n
}

// Ended says that the exit was seen, also while it waits to be announced.
func (p *Process) Ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

// Signal sends sig to the whole group. It is the only place that sends one.
// ErrGone means that nothing was left to receive it.
func (p *Process) Signal(sig Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if sig == Kill {
		return p.signalLocked(unix.SIGKILL)
	}
	err := p.signalLocked(unix.SIGTERM)
	if err == nil {
		// What SIGTERM has ended needs no waking.
		_ = p.signalLocked(unix.SIGCONT)
	}
	return err
}

func (p *Process) signalLocked(sig unix.Signal) error {
	if p.gone {
		return ErrGone
	}
	var err error
	if p.reaped {
		err = p.signalReapedLocked(sig)
	} else {
		err = unix.Kill(-p.pid, sig)
	}
	if err == unix.ESRCH {
		return ErrGone
	}
	return err
}

// Members returns the living processes of the group. Once the command has
// exited and none is left, that is final. An error means that they cannot be
// seen.
func (p *Process) Members() ([]Member, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.gone:
		return nil, nil
	case !p.reaped:
		return groupMembers(p.pid)
	}
	members, err := p.reapedMembersLocked()
	if err == nil && len(members) == 0 {
		p.setGoneLocked()
	}
	return members, err
}

// AwaitGone returns nil once no member is alive, or the context's error. The
// kernel announces the end of processes that are not our children to nobody, so
// it looks again and again, for as long as somebody waits.
func (p *Process) AwaitGone(ctx context.Context) error {
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if members, err := p.Members(); err == nil && len(members) == 0 {
			return nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// setGoneLocked gives up the group: it is never signalled again.
func (p *Process) setGoneLocked() {
	if !p.gone {
		p.gone = true
		p.handle.close()
	}
}

// Release closes our end of the pipe, so that a descendant that holds the other
// end keeps nothing of ours alive. Its next write gets SIGPIPE.
func (p *Process) Release() {
	p.output.Close()
	p.closeInput()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		p.setGoneLocked()
	}
}

func (p *Process) closeInput() {
	p.mu.Lock()
	input := p.input
	p.input = nil
	p.mu.Unlock()
	if input != nil {
		input.Close()
	}
}

// pipe returns our end of a new pipe, ready for the poller, and the other end.
func pipe() (ours *os.File, theirs int, err error) {
	var fds [2]int
	if err := pipeCloexec(&fds); err != nil {
		return nil, -1, os.NewSyscallError("pipe", err)
	}
	unix.SetNonblock(fds[0], true)
	return os.NewFile(uintptr(fds[0]), "output"), fds[1], nil
}

// openInput returns the descriptor a command reads, and where to write text.
func openInput(text []byte) (ours *os.File, theirs int, err error) {
	if text == nil {
		theirs, err = unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return nil, theirs, os.NewSyscallError("open "+os.DevNull, err)
	}
	var fds [2]int
	if err := pipeCloexec(&fds); err != nil {
		return nil, -1, os.NewSyscallError("pipe", err)
	}
	unix.SetNonblock(fds[1], true)
	return os.NewFile(uintptr(fds[1]), "input"), fds[0], nil
}

// lookPath finds the program as execvp(3) does, in the PATH of env. The library
// function of that name reads the server's own environment instead.
func lookPath(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	var path string
	for _, kv := range env {
		if value, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = value
		}
	}
	if path == "" {
		path = "/usr/local/bin:/usr/bin:/bin"
	}
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, name)
		if !filepath.IsAbs(file) {
			continue // a program found by where one stands is a surprise
		}
		if info, err := os.Stat(file); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", &fs.PathError{Op: "exec", Path: name, Err: fs.ErrNotExist}
}
