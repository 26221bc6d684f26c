package spawn

import "golang.org/x/sys/unix"

const ioctlGetTermios = unix.TCGETS

func pipeCloexec(fds *[2]int) error { return unix.Pipe2(fds[:], unix.O_CLOEXEC) }
