//go:build linux || darwin

package spawn

import (
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

// Process is a started command and what it forked.
type Process struct {
	spawner *Spawner
	events  Events
	pid     int
	handle  handle   // the kernel's handle of the leader, where there is one
	output  *os.File // our end of the pipe
	domain  domain   // how what left the group is found

	settled chan struct{} // closed when everything written before the exit was delivered

	mu     sync.Mutex // guards the fields below, and excludes signalling from reaping
	ended  bool       // the exit was seen
	reaped bool       // the leader's number may belong to another process
	gone   bool       // nothing is left, or it was given up
	input  *os.File   // what is left of stdin, until written or ended
}

// Start runs cmd and returns once its program runs. The error says why it does
// not, and nothing is left behind then.
func (s *Spawner) Start(cmd Command, events Events) (*Process, error) {
	search := cmd.Search
	if search == nil {
		search = cmd.Env
	}
	path, err := s.lookPath(cmd.Argv[0], search)
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

	p := &Process{spawner: s, events: events, output: output, input: input, settled: make(chan struct{})}
	attr := &syscall.ProcAttr{
		Dir:   cmd.Dir,
		Env:   cmd.Env,
		Files: []uintptr{uintptr(inputEnd), uintptr(outputEnd), uintptr(outputEnd)},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	}
	if err := p.fork(path, cmd.Argv, attr); err != nil {
		output.Close()
		p.closeInput()
		return nil, err
	}
	s.wg.Add(1) // until it is empty
	s.wg.Go(p.read)
	s.wg.Go(p.follow)
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
func (p *Process) follow() {
	p.prepare()
	awaitExit(p.pid, p.handle)
	at := time.Now()
	p.mu.Lock()
	p.ended = true
	p.output.SetReadDeadline(at.Add(DrainTime))
	p.leaderEndedLocked()
	p.mu.Unlock()
	<-p.settled

	p.mu.Lock()
	exit := reap(p.pid)
	p.reaped = true
	empty := p.emptyLocked()
	p.mu.Unlock()
	p.closeInput()
	exit.At = at
	p.events.Exited(exit)
	if empty {
		p.finish()
	} else {
		p.linger()
	}
}

// finish ends the life of a process of which nothing is left.
func (p *Process) finish() {
	if p.giveUp() {
		p.events.Emptied()
		p.spawner.wg.Done()
	}
}

// giveUp lets go of the domain: it is never signalled again. It says whether it
// was the first to do so.
func (p *Process) giveUp() bool {
	p.mu.Lock()
	first := !p.gone
	p.gone = true
	p.mu.Unlock()
	if first {
		p.handle.close()
		p.leave()
	}
	return first
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
func (p *Process) read() {
	settle := sync.OnceFunc(func() { close(p.settled) })
	defer settle()
	defer p.events.OutputClosed()
	defer p.output.Close()
	raw, err := p.output.SyscallConn()
	if err != nil {
		return
	}
	size := pipeSize{p: p, raw: raw}
	defer size.shrink()
	for {
		size.prepare()
		more, err := p.readSome(raw, readBytes)
		size.add(more)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && !p.Ended():
			size.shrink()
		case errors.Is(err, os.ErrDeadlineExceeded):
			// The command has ended and someone else holds the pipe. What is in
			// it now holds all that the command wrote; nobody else reads it, so
			// it is there until taken.
			p.output.SetReadDeadline(time.Time{})
			for left := unread(raw); left > 0; {
				n, err := p.readSome(raw, left)
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
func (p *Process) readSome(raw syscall.RawConn, limit int) (n int, err error) {
	waitErr := raw.Read(func(fd uintptr) bool {
		buffer := p.spawner.buffers.Get().(*[readBytes]byte)
		defer p.spawner.buffers.Put(buffer)
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
			p.events.Output(buffer[:n])
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

// Signal sends sig to the whole kill domain. It is the only place that sends one
// to a command. ErrGone means that nothing was left to receive it. What Kill does
// not reach at once it goes on to end until nothing is left; Emptied tells.
func (p *Process) Signal(sig Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return ErrGone
	}
	if sig == Kill {
		return p.killLocked()
	}
	err := p.signalLocked(number(sig))
	if err == nil && sig == Terminate {
		// What SIGTERM has ended needs no waking.
		_ = p.signalLocked(unix.SIGCONT)
	}
	return err
}

// number is the kernel's for a signal.
func number(sig Signal) unix.Signal {
	switch sig {
	case Terminate:
		return unix.SIGTERM
	case Interrupt:
		return unix.SIGINT
	case Hangup:
		return unix.SIGHUP
	case Quit:
		return unix.SIGQUIT
	case User1:
		return unix.SIGUSR1
	case User2:
		return unix.SIGUSR2
	case Stop:
		return unix.SIGSTOP
	case Continue:
		return unix.SIGCONT
	}
	return unix.SIGKILL
}

// signalGroupLocked signals the leader's group.
func (p *Process) signalGroupLocked(sig unix.Signal) error {
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

// Members returns the living processes of the kill domain. An error means that
// they cannot be seen.
func (p *Process) Members() ([]Member, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return nil, nil
	}
	return p.membersLocked()
}

// groupMembersLocked returns the living members of the leader's group.
func (p *Process) groupMembersLocked() ([]Member, error) {
	if p.reaped {
		return p.reapedMembersLocked()
	}
	return groupMembers(p.pid)
}

// watchGroup looks again and again until the group of an ended command is empty:
// the kernel announces the end of processes that are not our children to nobody.
// The pause grows to a second, and starts anew when a signal was sent.
func (p *Process) watchGroup(signalled <-chan struct{}) {
	const first, longest = time.Millisecond, time.Second
	for pause := first; ; pause = min(2*pause, longest) {
		p.mu.Lock()
		gone := p.gone
		members, err := p.groupMembersLocked()
		p.mu.Unlock()
		switch {
		case gone:
			return
		case err == nil && len(members) == 0:
			p.finish()
			return
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-signalled:
			timer.Stop()
			pause = first / 2
		}
	}
}

// Release gives the process up: our end of the pipe is closed, so that whoever
// holds the other end gets SIGPIPE at its next write, and what lives of an ended
// command is left to itself.
func (p *Process) Release() {
	p.output.Close()
	p.closeInput()
	p.mu.Lock()
	ended := p.reaped
	p.mu.Unlock()
	if ended && p.giveUp() {
		p.spawner.wg.Done()
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

// found is what a look for a program has found.
type found struct{ name, path, file string }

// lookPath finds the program as execvp(3) does, in the PATH of env. The library
// function of that name reads the server's own environment instead. What was
// found last, most often the shell, is only looked at again: a PATH has many
// directories.
func (s *Spawner) lookPath(name string, env []string) (string, error) {
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
	if last := s.lastFound.Load(); last != nil && last.name == name && last.path == path && executable(last.file) {
		return last.file, nil
	}
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, name)
		// A program found by where one stands is a surprise.
		if filepath.IsAbs(file) && executable(file) {
			s.lastFound.Store(&found{name, path, file})
			return file, nil
		}
	}
	return "", &fs.PathError{Op: "exec", Path: name, Err: fs.ErrNotExist}
}

func executable(file string) bool {
	var st unix.Stat_t
	return unix.Stat(file, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Mode&0o111 != 0
}
