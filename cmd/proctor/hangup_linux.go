package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// hangUps are closed when the other end of the program's input or output is closed. So
// the program notices that its client is gone while it neither reads nor writes.
type hangUps struct{ in, out chan struct{} }

func newHangUps() hangUps { return hangUps{make(chan struct{}), make(chan struct{})} }

// watch begins to watch pipes and sockets. It takes a thread until the program ends.
func (h hangUps) watch(in, out any) {
	watched, gone := []unix.PollFd{}, []chan struct{}{}
	for stream, ch := range map[any]chan struct{}{in: h.in, out: h.out} {
		if f, ok := stream.(*os.File); ok {
			watched = append(watched, unix.PollFd{Fd: int32(f.Fd())}) // poll(2) always reports a hang-up
			gone = append(gone, ch)
		}
	}
	go func() {
		for open := len(watched); open > 0; {
			if _, err := unix.Poll(watched, -1); err != nil && err != unix.EINTR {
				return
			}
			for i := range watched {
				if watched[i].Revents != 0 && watched[i].Fd >= 0 {
					close(gone[i])
					watched[i].Fd = -1 // poll ignores it from now on
					open--
				}
			}
		}
	}()
}
