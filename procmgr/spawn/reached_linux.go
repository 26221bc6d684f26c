package spawn

import "golang.org/x/sys/unix"

// refused explains an error of a fork by a limit, if one is used up.
func (q *quota) refused(err error) error {
	if q == nil || err != unix.EAGAIN || q.l.pids == nil {
		return err
	}
	most := q.l.limits.PidsPerScope
	// Others of our threads may count there for the moment.
	if used, ok := q.l.pids.value(q.group, "pids.current", ""); ok && most > 0 && used >= most {
		return &LimitError{LimitPidsPerScope, int(min(used, most)), int(most), err}
	}
	return err
}

// reached returns the limits that the command has run into.
func (q *quota) reached() (list []Limit) {
	if q == nil {
		return nil
	}
	if limit := q.memoryReached(); limit != "" {
		list = append(list, limit)
	}
	if limit := q.pidsReached(); limit != "" {
		list = append(list, limit)
	}
	return list
}

// memoryReached says which limit had something of the command killed, if one had.
func (q *quota) memoryReached() Limit {
	c := q.l.memory
	switch {
	case c == nil || c.oomKills(q.path) == 0:
		return ""
	case q.l.limits.Memory > 0 && c.memoryFull(q.path, q.l.limits.Memory):
		return LimitMemory
	case q.l.limits.MemoryPerScope > 0 && c.memoryFull(q.group, q.l.limits.MemoryPerScope):
		return LimitMemoryPerScope
	}
	return "" // the machine has no more
}

// pidsReached says which limit has refused a fork of the command, if one has.
func (q *quota) pidsReached() Limit {
	c := q.l.pids
	if c == nil {
		return ""
	}
	refused, _ := c.value(q.path, "pids.events", "max ")
	if refused == 0 && c.v2 { // since Linux 6.11 it counts there where the limit is
		refused, _ = c.value(q.path, "pids.events.local", "max ")
	}
	if refused == 0 {
		return ""
	}
	own := q.l.limits.Pids
	if own == 0 {
		return LimitPidsPerScope
	}
	// Linux 6.11 knows the most that there were.
	if peak, ok := c.value(q.path, "pids.peak", ""); ok && peak < own && q.l.limits.PidsPerScope > 0 {
		return LimitPidsPerScope
	}
	return LimitPids
}

// maxMemory is the most that the command and what it forked have held, 0 if
// nobody counts it.
func (q *quota) maxMemory() int64 {
	if q == nil || q.l.memory == nil {
		return 0
	}
	file := "memory.max_usage_in_bytes"
	if q.l.memory.v2 {
		file = "memory.peak" // Linux 5.19
	}
	n, _ := q.l.memory.value(q.path, file, "")
	return n
}
