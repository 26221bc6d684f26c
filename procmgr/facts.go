package procmgr

import "time"

// Facts are what never changes of a process.
type Facts struct {
	ID         string // a random UUID; never a pid
	Scope      Scope
	RequestID  string // of the [Spec], or ""
	Command    string // as given, or the argv joined by blanks
	Dir        string // the working directory
	Label      string
	Background bool
	StartedAt  time.Time
	// KeepsInput reports whether it was started to be given input. TTY is the size
	// that its terminal had at the start; zero is no terminal.
	KeepsInput bool
	TTY        Size
	Split      bool // stdout and stderr have a pipe each
	// Remote names the launcher's program if that runs the command elsewhere, else
	// it is "". What is known of such a process is what became of the launcher.
	Remote string
}

// Process is what is known of a process at one moment. It is a copy.
type Process struct {
	Facts
	// At is when this was so, by the clock of the manager.
	At        time.Time
	State     State
	Exit      Exit // of one that has ended
	Suspended bool // stopped by a signal
	// OutputOpen reports whether output can still be written: by the command, or by a
	// descendant that outlived it.
	OutputOpen bool
	// Sizes are those that its terminal had, by where in the output they begin.
	Sizes []Resize
	// WaitsForInput is how sure it is that the process waits for input; "" if it does
	// not, or if that cannot be seen.
	WaitsForInput InputWait
	// Descendants counts what lives on after the exit. It is Unknown if that cannot
	// be seen, as for a remote process.
	Descendants int
	// Reported says that an answer has reported the exit.
	Reported bool
	// Forgotten says that only this is left of the process, and perhaps some output.
	Forgotten bool
}

// Unknown stands for a number that cannot be known.
const Unknown = -1

// Resize is the size that a terminal has from an offset of its output on.
type Resize struct {
	At int64
	Size
}
