//go:build unix

package output

import (
	"errors"
	"os"
	"syscall"
)

// maxFiles is how many files a folder may have open: a quarter of what the program may
// have open, which needs the others to start processes.
func maxFiles() int64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 64
	}
	return int64(min(limit.Cur, 1<<20) / 4)
}

// ours returns an error if a directory belongs to another user, who could have put
// something into it.
func ours(info os.FileInfo) error {
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Uid) != os.Geteuid() {
		return errors.New("it belongs to another user")
	}
	return nil
}
