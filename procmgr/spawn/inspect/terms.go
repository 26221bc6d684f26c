package inspect

// Port is a TCP port on which a process listens.
type Port struct {
	Port    int
	Address string // as netip.Addr writes it: 127.0.0.1, 0.0.0.0 (all of IPv4), :: (all)
}

// InputWait is how sure it is that a process waits for input.
type InputWait string

const (
	// InputCertain: something in the foreground blocks in read(2) on the input.
	InputCertain InputWait = "certain"
	// InputPolled: it waits until it can read the input, or for something else.
	InputPolled InputWait = "polled"
)
