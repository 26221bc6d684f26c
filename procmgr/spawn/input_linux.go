package spawn

import "golang.org/x/sys/unix"

// termios returns how the terminal is set.
func (p *Process) termios() (t *unix.Termios, err error) {
	raw, err := p.input.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	var ioctlErr error
	if err := raw.Control(func(fd uintptr) { t, ioctlErr = unix.IoctlGetTermios(int(fd), unix.TCGETS) }); err != nil {
		return nil, err
	}
	return t, ioctlErr
}
