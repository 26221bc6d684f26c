package loop

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// poller is an epoll instance (epoll(7)). The poller of Go watches it, so no thread waits
// in it.
type poller struct {
	fd     int
	file   *os.File
	raw    syscall.RawConn
	events []unix.EpollEvent
	ready  []int
	look   func(fd uintptr) bool // lookNow, made once so that no call allocates it
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	_ = unix.SetNonblock(fd, true) // makes os.NewFile use the poller
	file := os.NewFile(uintptr(fd), "epoll")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, err
	}
	const most = 64 // at a time; the rest comes with the next look
	p := &poller{fd: fd, file: file, raw: raw, events: make([]unix.EpollEvent, most)}
	p.look = p.lookNow
	return p, nil
}

// add watches a descriptor until it is closed, or until its first event.
func (p *poller) add(fd int, once bool) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	if once {
		event.Events |= unix.EPOLLONESHOT
	}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &event))
}

// remove ends the events of a descriptor. Closing it would not be enough while another
// descriptor refers to the same open file, as with a terminal (epoll(7)).
func (p *poller) remove(fd int) {
	_ = unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil)
}

// pause stops or resumes the events of a descriptor. That the other end was closed is
// reported in any case.
func (p *poller) pause(fd int, pause bool) {
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	if pause {
		event.Events = 0
	}
	_ = unix.EpollCtl(p.fd, unix.EPOLL_CTL_MOD, fd, &event) // at worst it is read sooner
}

// wait returns what is ready. After wake that may be nothing.
func (p *poller) wait() []int {
	p.ready = p.ready[:0]
	if err := p.raw.Read(p.look); err != nil { // it was woken; a later wake ends the next wait
		_ = p.file.SetReadDeadline(time.Time{})
	}
	return p.ready
}

// lookNow asks what is ready, and reports whether that is something.
func (p *poller) lookNow(fd uintptr) bool {
	n, err := unix.EpollWait(int(fd), p.events, 0)
	for _, e := range p.events[:max(n, 0)] {
		p.ready = append(p.ready, int(e.Fd))
	}
	return n > 0 || err != nil
}

// wake makes wait return, by a deadline in the past, which needs no descriptor.
func (p *poller) wake() { _ = p.file.SetReadDeadline(time.Unix(1, 0)) }

func (p *poller) close() { p.file.Close() }

// setPipeSize changes how much a pipe holds, see F_SETPIPE_SZ in fcntl(2), and reports
// whether it could. It fails for a user who has too much in pipes, and when more is in
// it.
func setPipeSize(fd, bytes int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, bytes)
	return err == nil
}

const ioctlUnread = unix.TIOCINQ // FIONREAD: how many bytes wait to be read
