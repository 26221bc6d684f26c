package procfs

import (
	"syscall"
	"unsafe"
)

// diagRequest is a netlink message with struct inet_diag_req_v2 (sock_diag(7)).
type diagRequest struct {
	header           syscall.NlMsghdr
	family, protocol uint8
	_                [2]uint8
	states           uint32 // a bit for each
	_                [48]uint8
}

// diagSocket is struct inet_diag_msg.
type diagSocket struct {
	family, state, _, _ uint8
	port                [2]uint8 // in the order of the network, as the address
	_                   [2]uint8
	address             [16]uint8
	_                   [44]uint8
	inode               uint32
}

const (
	netlinkSockDiag  = 4  // NETLINK_SOCK_DIAG
	sockDiagByFamily = 20 // SOCK_DIAG_BY_FAMILY
	tcpListen        = 10 // TCP_LISTEN
)

// listeningHere is Listening for the network namespace of the caller. The kernel
// looks at nothing but what listens: for the tables in /proc it goes through all
// places that it has for connections, a hundred times as long.
func listeningHere(visit func(inode uint64, address []byte, port int)) error {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, netlinkSockDiag)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	for _, family := range [...]uint8{syscall.AF_INET, syscall.AF_INET6} {
		r := diagRequest{family: family, protocol: syscall.IPPROTO_TCP, states: 1 << tcpListen}
		r.header = syscall.NlMsghdr{Len: uint32(unsafe.Sizeof(r)), Type: sockDiagByFamily, Flags: syscall.NLM_F_REQUEST | syscall.NLM_F_DUMP}
		err := syscall.Sendto(fd, (*[unsafe.Sizeof(r)]byte)(unsafe.Pointer(&r))[:], 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK})
		if err == nil {
			err = readDiag(fd, visit)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readDiag reads the answer to one request.
func readDiag(fd int, visit func(inode uint64, address []byte, port int)) error {
	buf := make([]byte, 32<<10) // what the kernel sends at a time
	for {
		n, err := readFd(fd, buf)
		if err != nil {
			return err
		}
		messages, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			return err
		}
		for _, m := range messages {
			switch {
			case m.Header.Type == syscall.NLMSG_DONE:
				return nil
			case m.Header.Type != sockDiagByFamily || len(m.Data) < int(unsafe.Sizeof(diagSocket{})):
				return syscall.EIO // NLMSG_ERROR among them
			}
			s := (*diagSocket)(unsafe.Pointer(&m.Data[0]))
			size := 4
			if s.family == syscall.AF_INET6 {
				size = 16
			}
			visit(uint64(s.inode), s.address[:size], int(s.port[0])<<8|int(s.port[1]))
		}
	}
}
