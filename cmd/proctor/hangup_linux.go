package main

import (
	"context"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// whileRead returns a context that ends when nobody reads w any more. A client
// that is gone is then noticed although there is nothing to write to it.
func whileRead(ctx context.Context, w io.Writer) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-hangUp(w):
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// hangUp returns a channel that is closed when the other end of a pipe or socket
// is. The thread that waits for that ends with the program.
func hangUp(stream any) <-chan struct{} {
	gone := make(chan struct{})
	f, ok := stream.(*os.File)
	if !ok {
		return gone
	}
	fd := int32(f.Fd())
	go func() {
		for {
			watched := []unix.PollFd{{Fd: fd}} // a hang-up is always reported, poll(2)
			n, err := unix.Poll(watched, -1)
			if err == nil && n > 0 || err != nil && err != unix.EINTR {
				close(gone)
				return
			}
		}
	}()
	return gone
}
