//go:build !linux

package proctest

func exitThread() { panic("only Linux has threads that end alone") }
