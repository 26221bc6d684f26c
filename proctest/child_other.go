//go:build !linux

package proctest

import (
	"errors"
	"time"
)

func exitThread() { panic("only Linux has threads that end alone") }

func sameProgram(int) bool { return false }

func awaitEnd(int, time.Time) error { return errors.ErrUnsupported }
