//go:build unix

package spawn

import (
	"bytes"
	"context"
	"errors"
	"os"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// input is our end of what a command reads. Its fields do not change once the command
// runs, except last.
type input struct {
	file *os.File      // our end of a pipe, or of a terminal; nil is no input
	tty  bool          // it is a terminal
	kept bool          // it stays open for Write
	turn chan struct{} // of one: the call that writes has sent to it
	last byte          // the last that was written; guarded by turn
}

// openInput opens what a command reads, and returns its end.
func openInput(cmd *Command) (in input, theirs int, err error) {
	if cmd.Stdin == nil && !cmd.KeepStdin {
		theirs, err = unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return input{}, theirs, os.NewSyscallError("open "+os.DevNull, err)
	}
	var fds [2]int
	if err := pipeCloexec(&fds); err != nil {
		return input{}, -1, os.NewSyscallError("pipe", err)
	}
	err = unix.SetNonblock(fds[1], true)
	if err == nil && isReserved(max(fds[0], fds[1])) {
		err = unix.EMFILE
	}
	if err != nil {
		closeEnds(fds[0], fds[1])
		return input{}, -1, os.NewSyscallError("pipe", err)
	}
	return newInput(os.NewFile(uintptr(fds[1]), "input"), cmd.KeepStdin), fds[0], nil
}

func newInput(file *os.File, kept bool) input {
	return input{file: file, kept: kept, turn: make(chan struct{}, 1)}
}

// terminal is the command's end of one.
type terminal struct {
	file *os.File // for the command, to be closed once that runs
	held int      // another descriptor, to be held until the command has ended
}

// openTerminal makes a terminal of a size. It returns our end twice, as the input and as
// a descriptor to read from, and the command's end.
func openTerminal(size Size) (in input, output int, tty terminal, err error) {
	ours, theirs, err := pty.Open()
	if err != nil {
		return in, -1, tty, err
	}
	output, tty = -1, terminal{theirs, -1}
	if err = pty.Setsize(ours, &pty.Winsize{Rows: uint16(size.Rows), Cols: uint16(size.Cols)}); err == nil {
		output, err = duplicate(ours)
	}
	if err == nil {
		// When nobody has the command's end open, our end reports the end of the
		// output, though a command may open its end again by name. So it is held open
		// here until the command has ended.
		tty.held, err = unix.FcntlInt(theirs.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		err = os.NewSyscallError("open terminal", err)
	}
	if err == nil && isReserved(max(output, tty.held)) {
		err = os.NewSyscallError("open terminal", unix.EMFILE)
	}
	if err != nil {
		ours.Close()
		theirs.Close()
		for _, fd := range []int{output, tty.held} {
			if fd >= 0 {
				unix.Close(fd)
			}
		}
		return in, -1, tty, err
	}
	in = newInput(ours, true)
	in.tty = true
	return in, output, tty, nil
}

// duplicate returns another descriptor of a file, which does not block.
func duplicate(file *os.File) (fd int, err error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return -1, err
	}
	var dupErr error
	err = raw.Control(func(old uintptr) {
		if fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0); dupErr != nil {
			return
		}
		if dupErr = unix.SetNonblock(fd, true); dupErr != nil {
			unix.Close(fd)
			fd = -1
		}
	})
	return fd, errors.Join(err, dupErr)
}

func (in *input) write(text []byte) (n int, err error) {
	if n, err = in.file.Write(text); n > 0 {
		in.last = text[n-1]
	}
	return n, err
}

// give is Process.Write.
func (in *input) give(ctx context.Context, text []byte, end bool) (n int, err error) {
	if !in.kept {
		return 0, ErrNoInput
	}
	select {
	case in.turn <- struct{}{}:
		defer func() { <-in.turn }()
	case <-ctx.Done():
		return 0, ErrInputFull
	}
	if in.tty && longestLine(text) > maxLine {
		if t, err := in.termios(); err == nil && t.Lflag&unix.ICANON != 0 {
			return 0, ErrInputLine
		}
	}
	if len(text) > 0 {
		n, err = in.writeUntil(ctx, text)
	}
	switch {
	case err != nil || !end:
	case in.tty:
		_, err = in.writeUntil(ctx, in.endOfFile())
	case in.file.Close() != nil:
		err = ErrInputClosed
	}
	return n, err
}

// maxLine is how many bytes of a line a terminal keeps while it reads whole lines; the
// rest is lost (N_TTY_BUF_SIZE less the end of the line).
const maxLine = 4095

func longestLine(text []byte) (longest int) {
	for line := range bytes.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		longest = max(longest, len(line))
	}
	return longest
}

// writeUntil writes until ctx ends.
func (in *input) writeUntil(ctx context.Context, text []byte) (n int, err error) {
	past := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(past)
		_ = in.file.SetWriteDeadline(time.Unix(1, 0))
	})
	n, err = in.write(text)
	if !stop() {
		<-past
	}
	_ = in.file.SetWriteDeadline(time.Time{})
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, ErrInputFull
	case err != nil: // EPIPE, EIO of a terminal whose command has ended, or closed here
		return n, ErrInputClosed
	}
	return n, nil
}

// endOfFile returns what to type for the end of the input.
func (in *input) endOfFile() []byte {
	t, err := in.termios()
	if err != nil || t.Lflag&unix.ICANON == 0 || t.Cc[unix.VEOF] == 0 {
		return []byte{4} // Ctrl-D, for a program that reads keys
	}
	eof := t.Cc[unix.VEOF]
	switch in.last {
	case 0, '\n', '\r', eof, t.Cc[unix.VINTR], t.Cc[unix.VQUIT], t.Cc[unix.VSUSP], t.Cc[unix.VKILL], t.Cc[unix.VEOL]:
		return []byte{eof}
	}
	return []byte{eof, eof} // the first ends the line
}

func (in *input) resize(size Size) error {
	if !in.tty {
		return ErrNoTerminal
	}
	if err := pty.Setsize(in.file, &pty.Winsize{Rows: uint16(size.Rows), Cols: uint16(size.Cols)}); err != nil {
		return ErrInputClosed
	}
	return nil
}

// close closes the input. Closing it again does nothing.
func (in *input) close() {
	if in.file != nil {
		in.file.Close()
	}
}

// control calls f with the descriptor of our end.
func (in *input) control(f func(fd int) error) error {
	raw, err := in.file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}

// termios returns how the terminal is set.
func (in *input) termios() (t *unix.Termios, err error) {
	err = in.control(func(fd int) (err error) {
		t, err = unix.IoctlGetTermios(fd, ioctlGetTermios)
		return err
	})
	return t, err
}
