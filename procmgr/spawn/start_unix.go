//go:build unix

package spawn

import (
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// Wait returns when every goroutine has ended: all commands have ended, what
// they forked is dead and their pipes are closed, or they were released.
func (s *Spawner) Wait() {
	s.wg.Wait()
	s.system.stopLoop()
}

// Start runs cmd and returns once its program runs. The error says why it does
// not, and nothing is left behind then. [Process.Follow] must be called next:
// only output is delivered before.
func (s *Spawner) Start(cmd Command, events Events) (*Process, error) {
	search := cmd.Search
	if search == nil {
		search = cmd.Env
	}
	argv := slices.Concat(cmd.Launcher, cmd.Argv)
	path, err := lookPath(argv[0], search, &s.system.lastFound)
	if err != nil {
		return nil, err
	}
	l, err := s.system.startLoop()
	if err != nil {
		return nil, err
	}
	p := &Process{spawner: s, loop: l, events: events, terminalEnd: -1}
	files, closeFiles, err := p.openFiles(&cmd)
	if err != nil {
		return nil, err
	}
	defer closeFiles()
	attr := &syscall.ProcAttr{
		Dir: cmd.Dir, Env: cmd.Env, Files: files,
		Sys: &syscall.SysProcAttr{Setsid: true, Setctty: p.input.tty}, // Ctty is stdin
	}
	if err = p.watchOutputs(); err == nil {
		p.group, p.domain, err = s.fork(path, argv, &cmd, attr)
	}
	if err != nil {
		p.dropOutputs()
		p.input.close()
		p.closeTerminalEnd()
		return nil, err
	}
	s.wg.Add(2) // one until the output is closed, one until the kill domain is
	p.give(cmd.Stdin)
	return p, nil
}

// openFiles opens what a command reads and writes. It returns its ends, stdin,
// stdout and stderr, and what closes them here.
func (p *Process) openFiles(cmd *Command) (files []uintptr, closeFiles func(), err error) {
	if cmd.TTY != (Size{}) {
		input, output, tty, err := openTerminal(cmd.TTY)
		if err != nil {
			return nil, nil, err
		}
		p.input, p.terminalEnd = input, tty.held
		p.stdout = p.loop.NewPipe(output, (*outputs)(p), p.events.Stdout)
		fd := tty.file.Fd()
		return []uintptr{fd, fd, fd}, func() { tty.file.Close() }, nil
	}
	stdout, stderr, err := p.openOutputs(cmd.Split)
	if err != nil {
		return nil, nil, err
	}
	var stdin int
	if p.input, stdin, err = openInput(cmd); err != nil {
		closeEnds(stdout, stderr)
		p.dropOutputs()
		return nil, nil, err
	}
	return []uintptr{uintptr(stdin), uintptr(stdout), uintptr(stderr)}, func() {
		unix.Close(stdin)
		closeEnds(stdout, stderr)
	}, nil
}

// give writes what a command gets at its start, and closes its input unless that is
// kept.
func (p *Process) give(text []byte) {
	if p.input.file == nil || text == nil {
		return
	}
	p.input.turn <- struct{}{} // before anybody else can
	p.spawner.wg.Go(func() {
		_, _ = p.input.write(text) // it fails when nobody reads it any more
		if !p.input.kept {
			p.input.close()
		}
		<-p.input.turn
	})
}

// Follow has the exit seen and announced. It is called once.
func (p *Process) Follow() {
	if p.group.pidfd >= 0 && p.loop.Watch(p.group.pidfd, (*leader)(p), true) == nil {
		return
	}
	p.spawner.wg.Go(func() { // no pidfd: a thread waits
		awaitExit(p.group.pid)
		p.loop.Post((*leader)(p).Ready)
	})
}
