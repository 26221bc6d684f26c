package cgroup

import "golang.org/x/sys/unix"

// Refused explains an error of a fork by a limit, if one is used up.
func (p *Place) Refused(err error) error {
	if p == nil || err != unix.EAGAIN || p.l.pids == nil {
		return err
	}
	most := p.l.limits.PidsPerScope
	// Others of our threads may count there for the moment.
	if used, ok := p.l.pids.value(p.scopePath, "pids.current", ""); ok && most > 0 && used >= most {
		return &LimitError{LimitPidsPerScope, int(min(used, most)), int(most), err}
	}
	return err
}

// Reached returns the limits that the command has run into.
func (p *Place) Reached() (list []Limit) {
	if p == nil {
		return nil
	}
	if limit := p.memoryReached(); limit != "" {
		list = append(list, limit)
	}
	if limit := p.pidsReached(); limit != "" {
		list = append(list, limit)
	}
	return list
}

// memoryReached returns the limit that had something of the command killed, if one had.
func (p *Place) memoryReached() Limit {
	c := p.l.memory
	switch {
	case c == nil || c.oomKills(p.path) == 0:
		return ""
	case p.l.limits.Memory > 0 && c.memoryFull(p.path, p.l.limits.Memory):
		return LimitMemory
	case p.l.limits.MemoryPerScope > 0 && c.memoryFull(p.scopePath, p.l.limits.MemoryPerScope):
		return LimitMemoryPerScope
	}
	return "" // the machine has no more
}

// pidsReached returns the limit that has refused a fork of the command, if one has.
func (p *Place) pidsReached() Limit {
	c := p.l.pids
	if c == nil {
		return ""
	}
	refused, _ := c.value(p.path, "pids.events", "max ")
	if refused == 0 && c.v2 { // since Linux 6.11 it counts there where the limit is
		refused, _ = c.value(p.path, "pids.events.local", "max ")
	}
	if refused == 0 {
		return ""
	}
	own := p.l.limits.Pids
	if own == 0 {
		return LimitPidsPerScope
	}
	// Linux 6.11 knows the most that there were.
	if peak, ok := c.value(p.path, "pids.peak", ""); ok && peak < own && p.l.limits.PidsPerScope > 0 {
		return LimitPidsPerScope
	}
	return LimitPids
}

// MaxMemory is the most that the command and what it forked have held, 0 if
// nobody counts it.
func (p *Place) MaxMemory() int64 {
	if p == nil || p.l.memory == nil {
		return 0
	}
	file := "memory.max_usage_in_bytes"
	if p.l.memory.v2 {
		file = "memory.peak" // Linux 5.19
	}
	n, _ := p.l.memory.value(p.path, file, "")
	return n
}
