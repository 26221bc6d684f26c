package spawn

// Fact is one thing that the machine has or lacks.
type Fact struct {
	Name   string // "subreaper", "cgroup v2"…
	Value  string // "yes", "no", or a figure
	Detail string // why not, or what follows from it; may be empty
}

// Report is what [Setup] and the choice of the kill domain have found.
type Report struct {
	KillDomain KillDomain // the kill domain that is active
	Facts      []Fact
}

func (r *Report) add(name, value, detail string) {
	r.Facts = append(r.Facts, Fact{name, value, detail})
}
