package spawn

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

const (
	// killLate is when a kill goes on to what is outside the group although the
	// leader has not died.
	killLate = 50 * time.Millisecond
	// killTime is how long a kill goes on against what does not die or forks as
	// fast as it is killed.
	killTime = 10 * time.Second
	// guardTime is what the guard of another program of this kind has, if that ran
	// within the domain: what carries its marks only it can find.
	guardTime = 300 * time.Millisecond
)

// killLocked kills the group. What is outside is killed once the leader is dead:
// its orphans come to the main thread then, and if there are none, as is usual,
// that is the proof that nothing is left.
func (p *Process) killLocked() error {
	if p.domain.group {
		defer p.announce()
		return p.signalGroupLocked(unix.SIGKILL)
	}
	err := p.signalGroupLocked(unix.SIGKILL)
	if err == ErrNotRunning {
		if p.spawner.host.empty(p) {
			return ErrNotRunning
		}
		err = nil
	}
	p.domain.condemned = true
	p.announce()
	switch {
	case p.ended:
		p.endLocked()
	case p.domain.late == nil:
		p.domain.late = time.AfterFunc(killLate, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			if !p.gone {
				p.endLocked()
			}
		})
	}
	return err
}

// leaderEndedLocked goes on with a kill, now that what the leader was parent of
// has come to the main thread.
func (p *Process) leaderEndedLocked() {
	if p.domain.condemned {
		p.endEscapedLocked()
	}
}

// endEscapedLocked has killed what is left, if some of it was not in the group
// that was killed already. Of the rest only the end is to be awaited.
func (p *Process) endEscapedLocked() {
	h := p.spawner.host
	if h.noOrphans() {
		return
	}
	h.mu.Lock()
	orphans, err := h.orphansLocked(p)
	h.mu.Unlock()
	escaped := func(s procfs.Stat) bool { return s.Group != p.pid }
	if err != nil || slices.ContainsFunc(orphans, escaped) {
		p.endLocked()
	}
}

// endLocked has everything killed that is left.
func (p *Process) endLocked() {
	if p.domain.ending {
		return
	}
	p.domain.ending = true
	p.spawner.wg.Go(func() {
		p.end()
		p.mu.Lock()
		p.domain.ending = false
		p.mu.Unlock()
	})
}

// end kills what is left of the domain, round by round, until a round finds
// nothing alive. A process that is found dead may have left one that it forked,
// so rounds go on; those that were forked while a round looked are in the next.
func (p *Process) end() {
	h := p.spawner.host
	p.mu.Lock()
	if !p.gone { // else the cgroup is another's by now
		p.domain.cgroup.kill()
	}
	p.mu.Unlock()
	const (
		first, longest = 200 * time.Microsecond, 10 * time.Millisecond
		manyMoves      = 5 // rounds with somebody new: it forks as fast as we kill
	)
	known := map[procfs.Stat]bool{} // by pid and start
	moves := 0
	for begin, pause := time.Now(), first; time.Since(begin) < killTime; {
		p.mu.Lock()
		if p.gone {
			p.mu.Unlock()
			return
		}
		found, err := h.find(p, !p.ended, true)
		p.mu.Unlock()
		if err == nil && len(found) == 0 {
			return
		}
		moving := false
		if !h.lists {
			h.nudge() // the dead are in the way of the search
		}
		for _, s := range found {
			if time.Since(begin) < guardTime && h.isGuard(s) {
				continue
			}
			key := procfs.Stat{Pid: s.Pid, Start: s.Start}
			moving = moving || !known[key]
			known[key] = true
			_ = h.signal(p, s, unix.SIGKILL) // the next round sees whether it helped
		}
		if moving {
			pause = first
			if moves++; moves > manyMoves {
				h.chase(p, found)
				continue
			}
		}
		time.Sleep(pause)
		pause = min(2*pause, longest)
	}
}

// isGuard says that a process calls itself a guard of a program like this.
func (h *Host) isGuard(s procfs.Stat) bool {
	if s.Command != "exe" || h.opts.Guard == "" { // it is started as /proc/self/exe
		return false
	}
	line, _ := os.ReadFile("/proc/" + strconv.Itoa(s.Pid) + "/cmdline")
	return bytes.HasPrefix(line, []byte(h.opts.Guard+"\x00"))
}

// chase tries the numbers after the last one that was seen. The kernel gives them
// in order, and a chain of processes that fork and die is never again where the
// last look has found it.
func (h *Host) chase(p *Process, found []procfs.Stat) {
	if !h.tags {
		return // another way to tell would be too slow
	}
	const tries, ahead = 200, 64
	last := 0
	for _, s := range found {
		last = max(last, s.Pid)
	}
	for range tries {
		for pid := last + 1; pid <= last+ahead; pid++ {
			if h.carries(pid, p) {
				_ = procfs.Signal(pid, unix.SIGKILL, func() bool {
					s, err := procfs.ReadStat(pid)
					return err == nil && h.carries(pid, p) && h.descends(s, p)
				})
				last = pid
			}
		}
	}
}
