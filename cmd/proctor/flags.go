package main

import (
	"errors"
	"strings"

	"github.com/docker/go-units"
)

// bytesFlag is a flag that takes a size: 1048576, 64MiB, 64m; 1024 is the base of
// all units. 0 is no limit.
type bytesFlag int64

func (f *bytesFlag) Set(text string) error {
	n, err := units.RAMInBytes(text)
	if err != nil || n < 0 || strings.TrimSpace(text) != text {
		return errors.New("it must be a number of bytes, or one with a unit such as 512MiB")
	}
	*f = bytesFlag(n)
	return nil
}

func (f *bytesFlag) String() string {
	if *f == 0 {
		return "0"
	}
	return units.CustomSize("%g%s", float64(*f), 1024, []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"})
}

func (f *bytesFlag) Type() string { return "size" }
