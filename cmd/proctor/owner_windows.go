package main

import (
	"io/fs"
	"os"
)

// ownFile is always true: the profile of a Windows user is its own.
func ownFile(fs.FileInfo) bool { return true }

// childSignals returns nothing: Windows has no such signal.
func childSignals() <-chan os.Signal { return nil }
