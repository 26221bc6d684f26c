//go:build !unix

package output

import "os"

// maxFiles is how many files a folder may have open.
func maxFiles() int64 { return 1024 }

// ours accepts every directory: on this system those below a user's own are the user's.
func ours(os.FileInfo) error { return nil }
