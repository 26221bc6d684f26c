package spawn

import (
	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/spawn/inspect"
)

const ioctlGetTermios = unix.TCGETS

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

func pipeCloexec(fds *[2]int) error { return unix.Pipe2(fds[:], unix.O_CLOEXEC) }
