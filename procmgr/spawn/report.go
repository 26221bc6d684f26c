package spawn

// Fact is one thing that the machine offers or does not.
type Fact struct {
	Name   string // what: "subreaper", "cgroup v2"…
	Value  string // yes, no, or a figure
	Detail string // why not, or what follows; may be empty
}

// Report is what [Setup] and the first start have found.
type Report struct {
	KillDomain KillDomain // the kill domain that is active
	Facts      []Fact
}

func (r *Report) add(name, value, detail string) {
	r.Facts = append(r.Facts, Fact{name, value, detail})
}
