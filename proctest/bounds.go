package proctest

import "flag"

// bounds is set by test.sh for its step load.
var bounds = flag.Bool("bounds", false, "fail where more time or memory is taken than should be; else it is only told")

// Bounds reports whether tests demand their bounds on time and memory. Else a slow or
// busy machine would fail them.
func Bounds() bool { return *bounds }
