package cgroup

import "golang.org/x/sys/unix"

// Refused returns a *LimitError for an error of a fork if the scope has used up its
// limit on pids, else the error itself.
func (p *Place) Refused(err error) error {
	if p == nil || err != unix.EAGAIN || p.l.pids == nil {
		return err
	}
	most := p.l.limits.PidsPerScope
	// Other threads of ours may count there at the moment, so more may be in use.
	if used, ok := p.l.pids.value(p.scopePath, "pids.current", ""); ok && most > 0 && used >= most {
		p.l.mu.Lock()
		p.l.scopes[p.scope].refused++ // the kernel counts it like a refused fork of a command
		p.l.mu.Unlock()
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
	return append(list, p.pidsReached()...)
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
	return "" // the machine had no more memory
}

// pidsReached returns the limits at which a fork of the command was refused.
func (p *Place) pidsReached() (list []Limit) {
	c := p.l.pids
	if c == nil {
		return nil
	}
	// Since Linux 6.11, version 2 counts a refused fork in the cgroup that has the limit,
	// not in the one that forked. So a refusal at the scope's limit is reported for every
	// command that ran in the scope at that time.
	refused, ok := c.value(p.path, "pids.events.local", "max ")
	if !ok {
		refused, _ = c.value(p.path, "pids.events", "max ")
	}
	p.l.mu.Lock()
	if n, ok := p.scopeRefusalsLocked(); ok && n > p.refusals {
		list = append(list, LimitPidsPerScope)
	}
	p.l.mu.Unlock()
	if refused == 0 {
		return list
	}
	// pids.peak (Linux 6.11) is the most that there were at a time.
	own := p.l.limits.Pids
	peak, ok := c.value(p.path, "pids.peak", "")
	if own == 0 || ok && peak < own && p.l.limits.PidsPerScope > 0 {
		return []Limit{LimitPidsPerScope}
	}
	return append(list, LimitPids)
}

// MaxMemory returns the most bytes that the command and what it forked have held
// together, 0 if nobody counts them.
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
