package spawn

// Strays are living processes to which no command leads, on Linux: they have shed what
// marks them, and lost their parents. A kill reaches them once all that may have forked
// them were killed; they end with the program.
type Strays struct {
	// Members are those that only commands of one scope may have forked.
	Members []Member
	// Others is how many others there are: commands of several scopes may have forked
	// them.
	Others int
}

// None reports whether there are none.
func (s Strays) None() bool { return len(s.Members) == 0 && s.Others == 0 }

// Strays returns the processes that commands of a scope may have forked.
func (s *Spawner) Strays(scope string) Strays {
	if s.host == nil {
		return Strays{}
	}
	return s.host.strays(scope)
}

// Disarmed reports whether the tags by which descendants are found can be set no longer:
// somebody has lowered the limits of this program. Descendants that wipe their
// environment and leave their session may be lost then.
func (s *Spawner) Disarmed() bool { return s.host != nil && s.host.disarmed() }
