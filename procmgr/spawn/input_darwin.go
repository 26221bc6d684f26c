package spawn

import (
	"errors"

	"golang.org/x/sys/unix"
)

// termios returns how the terminal is set.
func (p *Process) termios() (t *unix.Termios, err error) {
	raw, err := p.input.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	var ioctlErr error
	if err := raw.Control(func(fd uintptr) { t, ioctlErr = unix.IoctlGetTermios(int(fd), unix.TIOCGETA) }); err != nil {
		return nil, err
	}
	return t, ioctlErr
}

// WaitsForInput tells nothing: the system does not say what a process waits for.
func (p *Process) WaitsForInput() (InputWait, error) { return "", errors.ErrUnsupported }
