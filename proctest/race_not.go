//go:build !race

package proctest

// Race reports that the race detector watches, under which a program computes ten
// times slower.
const Race = false
