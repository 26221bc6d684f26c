package spawn

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/lockorder"
	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

const (
	// killLate is when a kill goes on to what is outside the group although the
	// leader has not died.
	killLate = 50 * time.Millisecond
	// killTime is how long a hunt goes on against what does not die or forks as
	// fast as it is killed.
	killTime = 10 * time.Second
	// guardTime is how long the guard of another Proctor that ran within the domain is
	// spared: what carries that one's marks only its guard can find.
	guardTime = 300 * time.Millisecond
)

// killState is where a kill stands. The diagram is in the package documentation.
type killState string

const (
	killUnasked killState = "unasked" // nobody has asked for it
	killWaiting killState = "waiting" // the group was killed; the end of the leader, or of an orphan, is awaited
	killHunting killState = "hunting" // a goroutine kills what is left, round by round
)

// killEdges are the legal steps.
func killEdges() map[killState][]killState {
	return map[killState][]killState{
		killUnasked: {killWaiting},
		killWaiting: {killHunting},
		killHunting: {killWaiting},
	}
}

// kill ends all of a tree. What is outside the group is killed once the leader is dead:
// then the orphans have come to the main thread. If there are none, as is usual, nothing
// is left.
type kill struct {
	tree *tree
	wg   *sync.WaitGroup // of the goroutines

	mu    lockorder.Mutex[killPlace] // guards the field below
	state killState
}

type killPlace struct{}

func (killPlace) Place() (int, bool) { return 105, false }

func (k *kill) init(t *tree, wg *sync.WaitGroup) { k.tree, k.wg, k.state = t, wg, killUnasked }

// step takes a step from one state to another, and reports whether that was the state.
func (k *kill) step(from, to killState) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.state != from {
		return false
	}
	if !slices.Contains(killEdges()[from], to) {
		panic(fmt.Sprintf("spawn: a kill cannot go from %s to %s", from, to))
	}
	k.state = to
	return true
}

func (k *kill) is(s killState) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state == s
}

func (k *kill) begun() bool { return !k.is(killUnasked) }

// begin kills the group, and has the rest killed. The tree is pinned.
func (k *kill) begin() error {
	k.tree.host.adoption.remember(k.tree)
	k.tree.condemned.Store(true)
	if err := k.tree.signalGroup(unix.SIGKILL); err == ErrNotRunning {
		if k.tree.host.adoption.gone(k.tree) {
			return ErrNotRunning
		}
	} else if err != nil {
		return err
	}
	first := k.step(killUnasked, killWaiting)
	switch {
	case k.tree.stage() != stageRunning:
		k.hunt()
	case first:
		time.AfterFunc(killLate, func() { k.pinned(k.hunt) })
	}
	return nil
}

// orphansLeft is called when the leader has ended, and when an orphan has: their children
// have come to the main thread then. It starts a hunt if one of these is outside the
// group. The members of the group were killed already, and only their end is awaited.
func (k *kill) orphansLeft() {
	if !k.is(killWaiting) || k.tree.host.adoption.quiet(k.tree) {
		return
	}
	orphans, err := k.tree.host.adoption.orphans(k.tree)
	escaped := func(s living) bool { return s.Pgrp != k.tree.pid }
	if err != nil || slices.ContainsFunc(orphans, escaped) {
		k.pinned(k.hunt)
	}
}

// pinned calls f while the tree is not closed, and reports whether it was not.
func (k *kill) pinned(f func()) bool {
	k.tree.pin.RLock()
	defer k.tree.pin.RUnlock()
	if k.tree.stage() == stageClosed {
		return false
	}
	f()
	return true
}

// hunt has everything killed that is left. The tree is pinned.
func (k *kill) hunt() {
	if k.step(killWaiting, killHunting) {
		k.wg.Go(func() {
			k.rounds()
			k.step(killHunting, killWaiting)
		})
	}
}

// rounds kills what is left of the tree, round by round, until a round finds nothing
// alive. What was forked while a round looked is found by the next.
func (k *kill) rounds() {
	const (
		first, longest = 200 * time.Microsecond, 10 * time.Millisecond
		manyMoves      = 5 // rounds that found a new process: the tree forks as fast as we kill
	)
	a := &k.tree.host.adoption
	k.pinned(k.tree.cgroup.Kill)
	known := map[identity]bool{}
	moves := 0
	for begin, pause := time.Now(), first; time.Since(begin) < killTime; {
		var found []living
		var err error
		look := func() {
			// All of the machine is searched only where nothing else leads to more.
			if found, err = a.find(k.tree, false); err == nil && len(found) == 0 {
				found, err = a.find(k.tree, true)
			}
		}
		if !k.pinned(look) || err == nil && len(found) == 0 {
			return
		}
		moving := false
		if !a.lists {
			a.reaper.now() // dead orphans slow the search down
		}
		for _, s := range found {
			if time.Since(begin) < guardTime && k.isGuard(s) {
				continue
			}
			moving = moving || !known[identify(s)]
			known[identify(s)] = true
			_ = a.signal(k.tree, s, unix.SIGKILL) // the next round sees whether it helped
		}
		if moving {
			pause = first
			if moves++; moves > manyMoves {
				k.chase(found)
				continue
			}
		}
		time.Sleep(pause)
		pause = min(2*pause, longest)
	}
}

// isGuard reports whether a process calls itself a guard of a program like this.
func (k *kill) isGuard(s living) bool {
	guard := k.tree.host.opts.Guard
	if s.Command != "exe" || guard == "" { // it is started as /proc/self/exe
		return false
	}
	line, _ := os.ReadFile("/proc/" + strconv.Itoa(s.Pid) + "/cmdline")
	return bytes.HasPrefix(line, []byte(guard+"\x00"))
}

// chase kills by trying the numbers after the last one that was seen. The kernel gives
// numbers in order, so the next process of a chain that forks and dies has one of these,
// while a whole look would come too late.
func (k *kill) chase(found []living) {
	a := &k.tree.host.adoption
	if !k.tree.carries.any() {
		return // to read a marker is too slow for this
	}
	const tries, ahead = 200, 64
	last := 0
	for _, s := range found {
		last = max(last, s.Pid)
	}
	for range tries {
		for pid := last + 1; pid <= last+ahead; pid++ {
			if a.carries(pid, k.tree) {
				_ = procfs.Signal(pid, unix.SIGKILL, func() bool {
					s, err := procfs.ReadStat(pid)
					return err == nil && a.carries(pid, k.tree) && a.comesFrom(s, k.tree)
				})
				last = pid
			}
		}
	}
}
