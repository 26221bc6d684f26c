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
	// Remote is the name of the launcher's program if that runs the command elsewhere,
	// else "". All that is known of such a process is what became of the launcher.
	Remote string
}

// Process is what is known of a process at one moment. It is a copy.
type Process struct {
	Facts
	// At is when this was so, by the clock of the manager.
	At        time.Time
	State     State
	Exit      Exit // once it has ended
	Suspended bool // a signal has stopped the command
	// OutputOpen reports whether output can still be written: by the command, or by a
	// descendant that outlived it.
	OutputOpen bool
	// Sizes are the sizes that its terminal had, in order of their offsets.
	Sizes []Resize
	// WaitsForInput is how sure it is that the process waits for input. It is "" if it
	// does not, or if that cannot be seen.
	WaitsForInput InputWait
	// Descendants is how many descendants live on after the exit. It is Unknown if that
	// cannot be seen, as for a remote process.
	Descendants int
	// Reported is whether the exit was reported ([Handle.MarkReported]).
	Reported bool
	// Forgotten is whether the manager has forgotten the process.
	Forgotten bool
}

// Unknown is a number that cannot be known.
const Unknown = -1

// Resize is the size that a terminal has from the offset At of its output on.
type Resize struct {
	At int64
	Size
}
