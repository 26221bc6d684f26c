package inspect

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// Ports returns the TCP ports on which living processes listen, each in its own network
// namespace, by number and then address. What may not be looked into, since it runs as
// another user or is not dumpable, is left out; an error means that nothing could be
// seen. It takes a system call for each open descriptor and, with a socket among them, a
// look at what listens in each namespace: some 0.1 ms in the one of this program, some
// 10 ms in another.
func Ports(living []procfs.Stat) ([]Port, error) {
	sockets, holders, err := sockets(living)
	if err != nil {
		return nil, err
	}
	// A process may hold a socket of another process's namespace. So all sockets are
	// looked for in each namespace.
	var ports []Port
	seen := false
	read := map[uint64]bool{}
	for _, h := range holders {
		if read[h.namespace] {
			continue
		}
		failed := procfs.Listening(h.pid, h.namespace, func(inode uint64, address []byte, port int) {
			if sockets[inode] {
				a, _ := netip.AddrFromSlice(address)
				ports = append(ports, Port{port, a.Unmap().String()})
			}
		})
		if failed == nil {
			read[h.namespace], seen = true, true
		} else if _, alive, _ := procfs.Living(h.pid); alive { // else another may tell
			err = failed
		}
	}
	if seen {
		err = nil
	}
	slices.SortFunc(ports, func(a, b Port) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Address, b.Address))
	})
	return slices.Compact(ports), err
}

// holder is a process that has sockets open.
type holder struct {
	pid       int
	namespace uint64
}

// sockets returns the inodes of all sockets of these processes, and who has some.
func sockets(living []procfs.Stat) (inodes map[uint64]bool, holders []holder, err error) {
	inodes = map[uint64]bool{}
	seen := false
	var own []uint64
	for _, s := range living {
		own = own[:0]
		failed := procfs.Sockets(s.Pid, func(inode uint64) { own = append(own, inode) })
		if failed == nil && len(own) == 0 {
			seen = true
			continue
		}
		namespace, ok := procfs.NetNamespace(s.Pid)
		now, alive, _ := procfs.Living(s.Pid)
		switch {
		case !alive || now.Start != s.Start: // all that was read may be another's
			continue
		case failed != nil:
			err = failed
			continue
		}
		seen = true
		if ok {
			holders = append(holders, holder{s.Pid, namespace})
			for _, inode := range own {
				inodes[inode] = true
			}
		}
	}
	if seen {
		err = nil
	}
	return inodes, holders, err
}
