package procfs

import "syscall"

// Marker is the environment variable that names instance and number, as
// "PID-START.NUMBER".
const Marker = "PROCTOR_DOMAIN"

// IsMarker reports whether an environment entry is a marker.
func IsMarker(entry string) bool {
	return len(entry) > len(Marker) && entry[:len(Marker)+1] == Marker+"="
}

// MarkerOf returns the variable for a command of the instance.
func (i Instance) MarkerOf(n Number) string {
	return Marker + "=" + i.String() + "." + itoa(int(n))
}

// ReadMarker returns the value of the marker in the environment that a process
// was started with, "" if there is none or it may not be read.
func ReadMarker(pid int) string {
	fd, err := openOf(pid, "environ")
	if err != nil {
		return ""
	}
	defer syscall.Close(fd)
	const want = Marker + "="
	var buf [4096]byte
	var value []byte
	matched, found := 0, false // how much of want the current variable begins with; -1: it is another
	for {
		n, err := readFd(fd, buf[:])
		if n <= 0 || err != nil {
			return string(value)
		}
		for _, c := range buf[:n] {
			switch {
			case c == 0 && found:
				return string(value)
			case c == 0:
				matched = 0
			case found && len(value) < 64:
				value = append(value, c)
			case found || matched < 0:
			case c != want[matched]:
				matched = -1
			default:
				matched++
				found = matched == len(want)
			}
		}
	}
}

// ParseMarker reads the value of a marker.
func ParseMarker(value string) (i Instance, n Number, ok bool) {
	for at := range len(value) {
		if value[at] == '.' {
			i, ok = ParseInstance(value[:at])
			n = Number(atoi([]byte(value[at+1:])))
			return i, n, ok && i.MarkerOf(n) == Marker+"="+value
		}
	}
	return Instance{}, 0, false
}
