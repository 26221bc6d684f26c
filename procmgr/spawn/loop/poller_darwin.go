package loop

import (
	"os"

	"golang.org/x/sys/unix"
)

// poller is a kqueue. A thread waits in it.
type poller struct {
	fd     int
	events []unix.Kevent_t
	ready  []int
}

// wakeIdent names the event that wake triggers.
const wakeIdent = 1

func newPoller() (*poller, error) {
	fd, err := unix.Kqueue()
	if err != nil {
		return nil, os.NewSyscallError("kqueue", err)
	}
	unix.CloseOnExec(fd)
	event := []unix.Kevent_t{{Ident: wakeIdent, Filter: unix.EVFILT_USER, Flags: unix.EV_ADD | unix.EV_CLEAR}}
	if _, err := unix.Kevent(fd, event, nil, nil); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("kevent", err)
	}
	const most = 64 // at a time; the rest comes with the next look
	return &poller{fd: fd, events: make([]unix.Kevent_t, most)}, nil
}

// add watches a descriptor until it is closed, or until its first event.
func (p *poller) add(fd int, once bool) error {
	flags := unix.EV_ADD
	if once {
		flags |= unix.EV_ONESHOT
	}
	var event [1]unix.Kevent_t
	unix.SetKevent(&event[0], fd, unix.EVFILT_READ, flags)
	_, err := unix.Kevent(p.fd, event[:], nil, nil)
	return os.NewSyscallError("kevent", err)
}

// remove does nothing: the events of a descriptor end when it is closed.
func (p *poller) remove(int) {}

// pause stops the events of a descriptor for a time.
func (p *poller) pause(fd int, pause bool) {
	flags := unix.EV_ENABLE
	if pause {
		flags = unix.EV_DISABLE
	}
	var event [1]unix.Kevent_t
	unix.SetKevent(&event[0], fd, unix.EVFILT_READ, flags)
	_, _ = unix.Kevent(p.fd, event[:], nil, nil) // at worst it is read sooner
}

// wait returns what is ready, after wake perhaps nothing.
func (p *poller) wait() []int {
	p.ready = p.ready[:0]
	n, _ := unix.Kevent(p.fd, nil, p.events, nil)
	for _, e := range p.events[:max(n, 0)] {
		if e.Filter == unix.EVFILT_READ {
			p.ready = append(p.ready, int(e.Ident))
		}
	}
	return p.ready
}

// wake makes wait return.
func (p *poller) wake() {
	event := []unix.Kevent_t{{Ident: wakeIdent, Filter: unix.EVFILT_USER, Fflags: unix.NOTE_TRIGGER}}
	_, _ = unix.Kevent(p.fd, event, nil, nil)
}

func (p *poller) close() { unix.Close(p.fd) }

// setPipeSize does nothing: macOS sizes pipes by itself.
func setPipeSize(_, _ int) bool { return false }

const ioctlUnread = 0x4004667f // FIONREAD: how many bytes wait to be read
