package procfs

import "syscall"

// Stat has the facts about a process from proc_pid_stat(5).
type Stat struct {
	Pid, Ppid     int
	Pgrp, Session int
	State         byte   // one letter, as in ps(1)
	Command       string // its name, at most 15 bytes
	Start         uint64 // when it began, in clock ticks since boot
	Threads       int
	User, System  uint64 // CPU time in clock ticks, of children that it waited for as well
	RSS           uint64 // resident memory in pages
}

// Alive reports whether it is more than an entry that waits to be reaped. A process whose
// main thread has ended shows as a zombie while other threads go on.
func (s Stat) Alive() bool { return s.State != 'X' && (s.State != 'Z' || s.Threads > 1) }

// Living reads the facts about a process and reports whether it is alive. An error means
// that it cannot be known. If /proc hides the process (hidepid in proc(5)), only its
// existence is known.
func Living(pid int) (s Stat, alive bool, err error) {
	s, err = ReadStat(pid)
	if err == syscall.ESRCH || err == syscall.ENOENT && syscall.Kill(pid, 0) == syscall.ESRCH {
		return s, false, nil
	}
	if err == syscall.ENOENT {
		return Stat{Pid: pid, State: '?', Command: "?", Start: hidden}, true, nil
	}
	return s, err == nil && s.Alive(), err
}

// hidden stands for a start that is not known, later than any.
const hidden = 1<<64 - 1

// ReadStat reads the facts of a process. ESRCH or ENOENT mean that there is no
// such process.
func ReadStat(pid int) (Stat, error) {
	var buf [1024]byte
	text, err := readOf(pid, "stat", buf[:])
	if err != nil {
		return Stat{}, err
	}
	// "pid (comm) state ppid pgrp session …": the name may hold anything, so the
	// fields are counted from its last bracket.
	open, end := -1, -1
	for i, c := range text {
		if c == '(' && open < 0 {
			open = i
		}
		if c == ')' {
			end = i
		}
	}
	if open < 0 || end < open || end+2 >= len(text) {
		return Stat{}, syscall.EIO
	}
	s := Stat{Pid: pid, Command: string(text[open+1 : end]), State: text[end+2]}
	field := 3 // the state
	for rest := text[end+2:]; len(rest) > 0; field++ {
		word := rest
		for i, c := range rest {
			if c == ' ' {
				word = rest[:i]
				break
			}
		}
		rest = rest[min(len(word)+1, len(rest)):]
		switch field {
		case 4:
			s.Ppid = int(atoi(word))
		case 5:
			s.Pgrp = int(atoi(word))
		case 6:
			s.Session = int(atoi(word))
		case 14, 16:
			s.User += atoi(word)
		case 15, 17:
			s.System += atoi(word)
		case 20:
			s.Threads = int(atoi(word))
		case 22:
			s.Start = atoi(word)
		case 24:
			s.RSS = atoi(word)
			return s, nil
		}
	}
	return Stat{}, syscall.EIO
}

// ReadTasks returns the real user of a process, and how many threads it has, from
// proc_pid_status(5). ESRCH or ENOENT mean that there is no such process.
func ReadTasks(pid int) (uid, threads int, err error) {
	var buf [4096]byte
	text, err := readOf(pid, "status", buf[:])
	if err != nil {
		return 0, 0, err
	}
	uid, err = numberAfter(text, "\nUid:\t")
	if err == nil {
		threads, err = numberAfter(text, "\nThreads:\t")
	}
	return uid, threads, err
}

// InnerPid returns the number that a process has in its own pid namespace: the last of
// NSpid in proc_pid_status(5).
func InnerPid(pid int) (inner int, err error) {
	var buf [4096]byte
	text, err := readOf(pid, "status", buf[:])
	if err != nil {
		return 0, err
	}
	const name = "\nNSpid:"
	at := index(text, name)
	if at < 0 {
		return 0, syscall.EIO
	}
	for text = text[at+len(name):]; len(text) > 0 && text[0] == '\t'; {
		if inner, err = numberAfter(text, "\t"); err != nil {
			return 0, err
		}
		for text = text[1:]; len(text) > 0 && text[0] >= '0' && text[0] <= '9'; {
			text = text[1:]
		}
	}
	return inner, nil
}

// numberAfter returns the number behind a name.
func numberAfter(text []byte, name string) (int, error) {
	at := index(text, name)
	if at < 0 {
		return 0, syscall.EIO
	}
	from := at + len(name)
	to := from
	for to < len(text) && text[to] >= '0' && text[to] <= '9' {
		to++
	}
	return int(atoi(text[from:to])), nil
}

// LastPid returns the number that was given to a process or thread last, 0 if that
// cannot be read: the last word of /proc/loadavg (proc_loadavg(5)).
func LastPid() (pid int) {
	var buf [128]byte
	text, err := read("/proc/loadavg", buf[:])
	if err != nil {
		return 0
	}
	for i, c := range text {
		if c == ' ' {
			pid = int(atoi(text[i+1 : len(text)-1])) // less the newline
		}
	}
	return pid
}
