package main

import (
	"context"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// whileRead returns a context that ends when nobody reads w any more. A client
// that is gone is then noticed although there is nothing to write to it. The
// thread that waits for that ends with the program.
func whileRead(ctx context.Context, w io.Writer) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	f, ok := w.(*os.File)
	if !ok {
		return ctx, cancel
	}
	fd := int32(f.Fd())
	go func() {
		for ctx.Err() == nil {
			watched := []unix.PollFd{{Fd: fd}} // errors are always reported, poll(2)
			n, err := unix.Poll(watched, -1)
			if err == nil && n > 0 || err != nil && err != unix.EINTR {
				cancel()
				return
			}
		}
	}()
	return ctx, cancel
}
