package spawn

import (
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// domain is how a process finds what its command forked.
type domain struct {
	number  uint64        // its number in the host
	born    uint64        // in clock ticks since boot: nothing of it is older
	cgroup  *cgroup       // nil: none of its own
	before  cpuTime       // what the cgroup had counted
	quota   *quota        // nil: not limited
	group   bool          // nothing leads to what has left the process group
	changed chan struct{} // of one: a signal was sent, or it was given up

	spent Usage // of orphans that were reaped; guarded by Host.mu

	// Guarded by Process.mu.
	orphan    handle      // which watchOrphans waits for
	condemned bool        // a kill was asked for
	ending    bool        // the goroutine that carries it out runs
	late      *time.Timer // starts it when the leader does not die
}

// fork starts the program in the best domain that there is.
func (p *Process) fork(path string, argv []string, group string, attr *syscall.ProcAttr) error {
	h := p.spawner.host
	p.domain.group = h == nil || h.KillDomain() == KillDomainProcessGroup
	p.domain.changed = make(chan struct{}, 1)
	if h == nil {
		pid, pidfd, err := forkExec(path, argv, attr, &p.spawner.noPidfd)
		if err == nil {
			p.pid, p.pidfd = pid, pidfd
		}
		return err
	}
	attr.Sys.Pdeathsig = unix.SIGKILL // the second net: see guard_linux.go
	p.domain.number, p.domain.born = h.numbers.Add(1), bootTicks()
	tag := h.tag(p)
	attr.Env = append(slices.DeleteFunc(slices.Clone(attr.Env), procfs.IsMarker), h.self.MarkerOf(p.domain.number))
	quota, err := h.limiter.admit(group)
	if err != nil {
		return err
	}
	h.register(p)
	p.domain.quota, p.domain.cgroup = quota, h.cgroups.of(quota)
	if c := p.domain.cgroup; c != nil {
		p.domain.before = c.spent
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, c.fd
	}
	pid, pidfd, err := h.fork(tag, quota, path, argv, attr)
	if c := p.domain.cgroup; c != nil && !c.quota && err != nil && (err == unix.EBUSY || err == unix.EOPNOTSUPP || c.event("populated") == "") {
		// Somebody else removed or changed the cgroup; the command shall run.
		p.domain.cgroup = nil
		h.cgroups.drop(c)
		attr.Sys.UseCgroupFD = false
		pid, pidfd, err = h.fork(tag, quota, path, argv, attr)
	}
	if err != nil {
		err = quota.refused(err)
		p.leave()
		return err
	}
	h.mu.Lock() // who looks for the owner of an orphan looks at all
	p.pid, p.pidfd = pid, pidfd
	h.mu.Unlock()
	h.startGuard()
	if h.cgroups.low() {
		p.spawner.wg.Go(h.cgroups.refill)
	}
	return nil
}

func park(pidfd int) handle {
	if pidfd < 0 {
		return handle{}
	}
	unix.SetNonblock(pidfd, true) // makes os.NewFile use the poller
	return handle{os.NewFile(uintptr(pidfd), "pidfd")}
}

// ticksPerSecond is USER_HZ, on every architecture that Go knows.
const ticksPerSecond = 100

// bootTicks is now, as proc_pid_stat(5) counts it, a tick early.
func bootTicks() uint64 {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now)
	return uint64(max(0, now.Nano()/(1e9/ticksPerSecond)-1))
}

// surelyEmpty says that nothing is left of a reaped leader's domain, if that can
// be told in a moment.
func (p *Process) surelyEmpty() bool {
	if p.domain.group {
		p.mu.Lock()
		defer p.mu.Unlock()
		err, ok := p.signalByHandle(0)
		return ok && err == unix.ESRCH
	}
	return !p.domain.cgroup.populated() && p.spawner.host.noOrphans()
}

// limitsReached returns the limits that it has run into.
func (p *Process) limitsReached() []Limit { return p.domain.quota.reached() }

// emptyLocked says that nothing is left of a reaped leader's domain.
func (p *Process) emptyLocked() bool {
	if !p.domain.group {
		return p.spawner.host.empty(p)
	}
	left, err := p.reapedMembersLocked()
	return err == nil && len(left) == 0
}

// linger has Emptied called once nothing is left.
func (p *Process) linger() {
	if p.domain.group {
		p.spawner.wg.Go(func() { p.watchGroup(p.domain.changed) })
	} else {
		p.spawner.wg.Go(p.watchOrphans)
	}
}

// watchOrphans waits for the end of one orphan after the other until none is
// left. What an orphan forks comes to us when it dies.
func (p *Process) watchOrphans() {
	const first, longest = time.Millisecond, time.Second
	h := p.spawner.host
	for pause := first; ; pause = min(2*pause, longest) {
		if h.empty(p) {
			p.giveUp(p.events.Emptied)
			return
		}
		p.mu.Lock()
		gone := p.gone
		if p.domain.condemned && !gone {
			p.endEscapedLocked()
		}
		p.mu.Unlock()
		if gone {
			return
		}
		if h.awaitOrphan(p) {
			pause = first / 2
			continue
		}
		// Something lives that cannot be waited for: no pidfds, or it is in the
		// cgroup and not ours.
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-p.domain.changed:
			timer.Stop()
		}
	}
}

// distrustLocked keeps the cgroup of a command that was killed by somebody else from
// being used again: whoever wrote to its cgroup.kill has spoilt it.
func (p *Process) distrustLocked(exit Exit) {
	if exit.Signal == "SIGKILL" && !p.domain.condemned && p.domain.cgroup != nil {
		p.domain.cgroup.killed.Store(true)
	}
}

// leave gives back what the domain has of the host.
func (p *Process) leave() {
	p.announce()
	p.mu.Lock()
	orphan := p.domain.orphan
	p.mu.Unlock()
	orphan.close()
	if p.spawner.host != nil {
		p.spawner.host.unregister(p)
	}
	if c := p.domain.cgroup; c != nil {
		p.spawner.host.cgroups.give(c)
	}
	p.domain.quota.release()
}

// announce tells who watches that it is time to look.
func (p *Process) announce() {
	select {
	case p.domain.changed <- struct{}{}:
	default:
	}
}

// membersLocked returns what lives of the domain.
func (p *Process) membersLocked() ([]Member, error) {
	if p.domain.group {
		return p.groupMembersLocked()
	}
	found, err := p.spawner.host.find(p, !p.reaped, false)
	var members []Member
	for _, s := range found {
		members = append(members, member(s))
	}
	return members, err
}

// signalLocked signals the group, then each living process outside of it. Behind
// a launcher that stays it leaves that out.
func (p *Process) signalLocked(sig unix.Signal) error {
	if p.launcher != "" && sig != unix.SIGSTOP && sig != unix.SIGCONT {
		if err, behind := p.signalBehindLocked(sig); behind {
			return err
		}
	}
	err := p.signalGroupLocked(sig)
	if p.domain.group {
		p.announce()
		return err
	}
	h := p.spawner.host
	// A parent that dies of the signal in the middle of a look takes its children out
	// of it: they have come to us after the look at our list. The next look has them.
	const most = 3
	known := map[procfs.Stat]bool{} // by pid and start
	for looks, more := 1, true; more && looks <= most; looks++ {
		found, findErr := h.find(p, !p.reaped, false)
		if findErr != nil && err != nil {
			return findErr
		}
		more = looks == 1
		for _, s := range found {
			key := procfs.Stat{Pid: s.Pid, Start: s.Start}
			if known[key] {
				continue
			}
			known[key], more = true, true
			// The group of a reaped leader counts as outside unless the kernel could
			// signal it as one.
			if err == nil && s.Group == p.pid && s.Session == p.pid {
				continue
			}
			switch sent := h.signal(p, s, sig); {
			case sent == nil:
				err = nil
			case sent != unix.ESRCH && err == ErrNotRunning:
				err = sent
			}
		}
	}
	return err
}

// signalBehindLocked signals what runs behind the launcher, if there is both. A
// launcher such as bubblewrap stays as the leader, and as process 1 of a new pid
// namespace. It passes no signal on: SIGTERM would end it, and with it all that
// it runs, before a trap of the command could do anything. Its processes are
// therefore spared. Those that it has not yet made another program are among
// them: they have its name.
func (p *Process) signalBehindLocked(sig unix.Signal) (err error, behind bool) {
	list, send, err := p.reachLocked(sig)
	own := func(s procfs.Stat) bool { return s.Command == p.launcher }
	if err != nil || !slices.ContainsFunc(list, own) {
		return nil, false
	}
	err = ErrNotRunning
	for _, s := range list {
		if own(s) {
			continue
		}
		behind = true
		switch sent := send(s); {
		case sent == nil:
			err = nil
		case sent != unix.ESRCH && err == ErrNotRunning:
			err = sent
		}
	}
	p.announce()
	return err, behind
}

// reachLocked returns what lives of the domain, and how to signal one of it that
// may have died meanwhile.
func (p *Process) reachLocked(sig unix.Signal) (list []procfs.Stat, send func(procfs.Stat) error, err error) {
	if !p.domain.group {
		h := p.spawner.host
		list, err = h.find(p, !p.reaped, false)
		return list, func(s procfs.Stat) error { return h.signal(p, s, sig) }, err
	}
	members, err := p.groupMembersLocked()
	for _, m := range members {
		list = append(list, procfs.Stat{Pid: m.Pid, Command: m.Command})
	}
	return list, func(s procfs.Stat) error {
		return procfs.Signal(s.Pid, sig, func() bool { return isInGroup(s.Pid, p.pid) })
	}, err
}

// tag is what the processes of p carry.
func (h *Host) tag(p *Process) procfs.Tag { return h.self.Tag(p.domain.number) }

func (h *Host) register(p *Process) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.processes[p.domain.number] = p
	h.awake()
}

func (h *Host) unregister(p *Process) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.processes, p.domain.number)
	for pid, owner := range h.adopted {
		if owner == p {
			h.adopted[pid] = nil
		}
	}
}
