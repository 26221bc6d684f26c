package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// hangUps tell of the other ends of a program's input and output: a client that
// is gone is then noticed although there is nothing to read from it or to write.
type hangUps struct{ in, out chan struct{} } // closed when the other end is

func newHangUps() hangUps { return hangUps{make(chan struct{}), make(chan struct{})} }

// watch begins to watch pipes and sockets. The thread that it takes ends with
// the program.
func (h hangUps) watch(in, out any) {
	watched, gone := []unix.PollFd{}, []chan struct{}{}
	for stream, ch := range map[any]chan struct{}{in: h.in, out: h.out} {
		if f, ok := stream.(*os.File); ok {
			watched = append(watched, unix.PollFd{Fd: int32(f.Fd())}) // a hang-up is always reported, poll(2)
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
					watched[i].Fd = -1 // is left out from now on
					open--
				}
			}
		}
	}()
}
