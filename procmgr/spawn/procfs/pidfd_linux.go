package procfs

import "syscall"

// The numbers of these calls are the same on every architecture that Go knows.
const (
	sysPidfdSendSignal = 424
	sysPidfdOpen       = 434
)

// OpenPidfd opens a descriptor that refers to this process for good, whoever gets its
// number later.
func OpenPidfd(pid int) (int, error) {
	fd, _, errno := syscall.RawSyscall(sysPidfdOpen, uintptr(pid), 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// SendSignal sends through a pidfd.
func SendSignal(fd int, sig syscall.Signal) error {
	_, _, errno := syscall.RawSyscall6(sysPidfdSendSignal, uintptr(fd), uintptr(sig), 0, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// Signal opens a pidfd of a process, asks is whether that is the process that is meant,
// and signals it through the pidfd. ESRCH means that it is another or gone. On kernels
// without pidfds, and where no descriptor is left, it asks right before the signal.
func Signal(pid int, sig syscall.Signal, is func() bool) error {
	fd, err := OpenPidfd(pid)
	switch {
	case err == syscall.ENOSYS || err == syscall.EPERM || short(err):
		if !is() {
			return syscall.ESRCH
		}
		return syscall.Kill(pid, sig)
	case err != nil:
		return err
	}
	defer syscall.Close(fd)
	if !is() {
		return syscall.ESRCH
	}
	return SendSignal(fd, sig)
}
