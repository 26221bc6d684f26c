package spawn

import (
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// A process can make a child of this program instead of a child of its own (CLONE_PARENT
// in clone(2)). That is no orphan: it is on the list of the thread that has forked the
// command, together with commands. Only if a program starts nothing but commands is it
// known what is on such a list.

// mostForSiblings is with how many commands such a list is still read at each look. It
// takes a microsecond for each.
const mostForSiblings = 256

// others are the children of this program that are no commands.
type others struct {
	pids     sync.Map     // of those that live or are not reaped
	starting atomic.Int32 // how many are being started: their numbers are not known
}

// mayHave reports whether a child that was seen before the call can be one of them. While
// one is being started any child can be, so that is asked first: by the time that none is,
// the numbers of all are known.
func (o *others) mayHave(pid int) bool {
	if o.starting.Load() > 0 {
		return true
	}
	_, has := o.pids.Load(pid)
	return has
}

// threadLists has the lists of children of the program's threads, kept open: to read one is
// ten times faster then. Threads of a Go program do not end.
type threadLists struct{ lists sync.Map }

// list returns the descriptor of a list.
func (t *threadLists) list(thread int) (fd int, err error) {
	if fd, ok := t.lists.Load(thread); ok {
		return fd.(int), nil
	}
	fd, err = unix.Open("/proc/self/task/"+strconv.Itoa(thread)+"/children", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	first, loaded := t.lists.LoadOrStore(thread, fd)
	if loaded {
		unix.Close(fd)
	}
	return first.(int), nil
}

func (t *threadLists) close() {
	t.lists.Range(func(_, fd any) bool { return unix.Close(fd.(int)) == nil })
}

// siblings calls visit for the siblings of a tree's leader that are no commands.
func (a *adoption) siblings(t *tree, visit func(pid int)) {
	if !a.seesSiblings() || t.thread == 0 || t.cgroup != nil {
		return
	}
	if list, err := a.threadLists.list(t.thread); err == nil {
		a.strangers(list, visit)
	}
}

func (a *adoption) seesSiblings() bool {
	return a.exclusive && a.lists && a.registry.count() <= mostForSiblings
}

// eachStranger calls strangers for every thread that has forked a command.
func (a *adoption) eachStranger(visit func(pid int)) {
	if a.seesSiblings() {
		a.threadLists.lists.Range(func(_, fd any) bool {
			a.strangers(fd.(int), visit)
			return true
		})
	}
}

// strangers calls visit for what is on the list of a thread and neither leads a tree nor
// is another child of this program.
func (a *adoption) strangers(list int, visit func(pid int)) {
	var buf [64]int
	children := buf[:0]
	_ = procfs.ReadChildren(list, func(pid int) { children = append(children, pid) })
	// What was being started then is known now, or still being started: the next look
	// knows more.
	for _, pid := range a.registry.strangers(children) {
		if !a.others.mayHave(pid) {
			visit(pid)
		}
	}
}

// quiet reports whether there are neither orphans nor siblings of a tree.
func (a *adoption) quiet(t *tree) bool {
	quiet := a.childless()
	if quiet {
		a.siblings(t, func(int) { quiet = false })
	}
	return quiet
}

// visitLocked calls visit for each orphan, and each sibling of a tree.
func (a *adoption) visitLocked(t *tree, visit func(pid int)) error {
	if err := procfs.ReadChildren(a.own, visit); err != nil {
		return err
	}
	a.siblings(t, visit)
	return nil
}
