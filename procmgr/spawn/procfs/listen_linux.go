package procfs

import (
	"syscall"
	"unsafe"
)

// Sockets calls visit with the inode of every socket that a process has open. It
// takes a readlink(2) for each descriptor. EACCES means that the process may not be
// looked into (ptrace(2), "Ptrace access mode checking"), as does ENOENT of one that
// /proc hides.
func Sockets(pid int, visit func(inode uint64)) error {
	folder := "/proc/" + itoa(pid) + "/fd"
	return entries(folder, func(name []byte) {
		if inode, ok := inodeOf(folder+"/"+string(name), "socket:["); ok {
			visit(inode)
		}
	})
}

// NetNamespace returns the number of the network namespace of a process.
func NetNamespace(pid int) (inode uint64, ok bool) {
	return inodeOf("/proc/"+itoa(pid)+"/ns/net", "net:[")
}

// inodeOf reads a link of the form "kind:[inode]".
func inodeOf(path, kind string) (inode uint64, ok bool) {
	var buf [64]byte
	n, err := syscall.Readlink(path, buf[:])
	if err != nil || n <= len(kind) || string(buf[:len(kind)]) != kind {
		return 0, false
	}
	inode = atoi(buf[len(kind) : n-1])
	return inode, inode > 0
}

// Listening calls visit for every TCP socket that listens in a network namespace; pid is
// a process in there. The address has 4 or 16 bytes and is valid during the call. It may
// call visit twice for a socket.
func Listening(pid int, namespace uint64, visit func(inode uint64, address []byte, port int)) error {
	if own, ok := NetNamespace(syscall.Getpid()); ok && own == namespace && listeningHere(visit) == nil {
		return nil
	}
	return listeningOf(pid, visit)
}

// listeningOf reads the tables in /proc, which also a kernel without sock_diag(7)
// has, and those of other namespaces.
func listeningOf(pid int, visit func(inode uint64, address []byte, port int)) error {
	// Without IPv6 there is no tcp6. If the process is gone there is no tcp either, so
	// that one is opened last.
	for _, table := range [...]string{"tcp6", "tcp"} {
		err := eachLine("/proc/"+itoa(pid)+"/net/"+table, func(line []byte) (more bool) {
			return visitSocket(line, visit)
		})
		if err != nil && (err != syscall.ENOENT || table == "tcp") {
			return err
		}
	}
	return nil
}

// visitSocket reads a line such as
//
//	0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 1000 0 64 …
//
// whose tenth word is the inode, and reports whether others that listen may follow.
func visitSocket(line []byte, visit func(inode uint64, address []byte, port int)) (more bool) {
	const local, state, inode = 1, 3, 9
	var words [inode + 1][]byte
	n := 0
	for at := 0; at < len(line) && n < len(words); {
		for at < len(line) && line[at] == ' ' {
			at++
		}
		from := at
		for at < len(line) && line[at] != ' ' {
			at++
		}
		words[n] = line[from:at]
		n++
	}
	// Documentation/networking/proc_net_tcp.rst: "It will first list all listening
	// TCP sockets, and next list all established TCP connections." Kernels before
	// 4.4 have connections that are not accepted yet (03) among the first. The
	// heading has "st".
	switch string(words[state]) {
	case "0A":
	case "03", "st":
		return true
	default:
		return false
	}
	colon := len(words[local]) - len(":1F90")
	if n < len(words) || colon != 8 && colon != 32 {
		return true
	}
	// The address is written as numbers of 32 bits in the order of this machine,
	// and stands in memory as on the network.
	var address [4]uint32
	for i := range colon / 8 {
		address[i] = uint32(hex(words[local][8*i : 8*i+8]))
	}
	visit(atoi(words[inode]), (*[16]byte)(unsafe.Pointer(&address))[:colon/2], int(hex(words[local][colon+1:])))
	return true
}

// eachLine calls visit for every line of a file, until it wants no more.
func eachLine(path string, visit func(line []byte) (more bool)) error {
	fd, err := open(path)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	var buf [4096]byte
	held := 0 // bytes of a line that is not read to its end
	for {
		n, err := readFd(fd, buf[held:])
		if err != nil || n <= 0 {
			return err
		}
		from := 0
		for at := held; at < held+n; at++ {
			if buf[at] != '\n' {
				continue
			}
			if !visit(buf[from:at]) {
				return nil
			}
			from = at + 1
		}
		if held = copy(buf[:], buf[from:held+n]); held == len(buf) {
			return syscall.EIO
		}
	}
}

// hex reads a number in base 16, in upper case.
func hex(text []byte) (n uint64) {
	for _, c := range text {
		if c >= 'A' {
			c -= 'A' - '9' - 1
		}
		n = n<<4 | uint64(c-'0')&0xf
	}
	return n
}
