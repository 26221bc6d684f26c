package spawn

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// errSealed reports that the program runs below another that has lowered its limit.
var errSealed = errors.New("the hard limit was lowered already, by another Proctor or by a setting")

// tagger is one of the limits by which what is forked is tagged: a child inherits the
// program's own soft limit, which is another for the moment of the fork. Everybody of the
// same user can lower the hard limit of the program, and then there are no more tags.
type tagger struct {
	resource procfs.Resource
	usable   bool          // the machine allows tags; set once, before anything is started
	own      procfs.Rlimit // the program's own, to put back after each fork
	lost     atomic.Bool   // the limit could not be set at the last fork
}

// try finds out whether the limit holds a tag: a container may have set a lower hard
// limit.
func (t *tagger) try(tag uint64) (err error) {
	if t.own, err = t.resource.Get(0); err != nil {
		return err
	}
	if _, err = t.resource.Set(procfs.Rlimit{Soft: tag, Hard: t.own.Hard}); err != nil {
		return err
	}
	before, err := t.resource.Set(t.own)
	if err == nil && before.Soft != tag {
		err = syscall.ERANGE // it has 32 bits
	}
	t.usable = err == nil
	return err
}

// seal lowers the program's own hard limit, which only a process with CAP_SYS_RESOURCE
// raises again. All that the program forks inherits it.
func (t *tagger) seal(limit uint64) error {
	own, err := t.resource.Get(0)
	if err != nil {
		return err
	}
	if own.Hard != procfs.Unlimited {
		return errSealed
	}
	_, err = t.resource.Set(procfs.Rlimit{Soft: limit, Hard: limit})
	return err
}

// mayRaiseLimits reports whether the program, and so what it forks, may raise hard limits.
func mayRaiseLimits() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	err := unix.Capget(&header, &data[0])
	return err != nil || data[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0
}

// set has what is forked carry a tag, until unset is called.
func (t *tagger) set(tag uint64) {
	if !t.usable {
		return
	}
	// Setting the hard limit as well undoes what somebody has done to it, where that
	// is allowed.
	_, err := t.resource.Set(procfs.Rlimit{Soft: tag, Hard: t.own.Hard})
	t.lost.Store(err != nil)
}

// unset puts the program's own limits back. It reports whether what was forked carries the
// tag: the limit was still what set has made it.
func (t *tagger) unset(tag uint64) bool {
	if !t.usable {
		return false
	}
	before, err := t.resource.Set(t.own)
	held := err == nil && before == procfs.Rlimit{Soft: tag, Hard: t.own.Hard}
	if !held {
		t.lost.Store(true)
	}
	return held
}

// randomNumber makes a number for a command.
func randomNumber() procfs.Number {
	var random [8]byte
	_, _ = rand.Read(random[:]) // it never fails
	return procfs.MakeNumber(binary.NativeEndian.Uint64(random[:]))
}
