package spawn

import (
	"github.com/proctor-mcp/proctor/procmgr/spawn/inspect"
	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// Ports returns the TCP ports on which the living processes of the kill domain listen,
// each in its own network namespace, by number and then address. What may not be looked
// into, since it runs as another user or is not dumpable, is left out; an error means
// that nothing could be seen.
func (p *Process) Ports() ([]Port, error) {
	list, err := p.living()
	if err != nil {
		return nil, err
	}
	return inspect.Ports(list) // an exit need not wait for this
}

// WaitsForInput looks whether a process of the foreground waits for the input that
// [Process.Write] gives. In a terminal the foreground is what tcgetpgrp(3) says; a pipe
// has none, and whoever reads it counts. "" means that none was found to wait for it: a
// look costs some 20 ms at most. An error means that it cannot be seen.
func (p *Process) WaitsForInput() (InputWait, error) {
	if !p.input.kept {
		return "", nil
	}
	in, err := p.input.source()
	if err != nil {
		return "", err
	}
	pids, err := p.readers(in.Foreground)
	if err != nil {
		return "", err
	}
	return inspect.WaitsForInput(pids, in)
}

// readers returns what lives in the process group that is in the foreground, or if that
// is 0, all of the kill domain.
func (p *Process) readers(foreground int) (pids []int, err error) {
	if _, wide := p.domain.(*descendants); wide {
		list, err := p.living()
		for _, s := range list {
			if foreground == 0 || s.Pgrp == foreground {
				pids = append(pids, s.Pid)
			}
		}
		return pids, err
	}
	// The jobs of an interactive shell are in groups of their own.
	err = procfs.Pids(func(pid int) {
		if s, alive, _ := procfs.Living(pid); alive && s.Session == p.group.pid && (foreground == 0 || s.Pgrp == foreground) {
			pids = append(pids, s.Pid)
		}
	})
	return pids, err
}

// source returns the input as the processes that read it show it.
func (in *input) source() (found inspect.Input, err error) {
	look := inspect.PipeInput
	if in.tty {
		look = inspect.TerminalInput
	}
	err = in.control(func(fd int) (err error) {
		found, err = look(fd)
		return err
	})
	return found, err
}
