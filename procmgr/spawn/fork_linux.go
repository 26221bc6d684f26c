package spawn

import (
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// fork starts the program of a command in the best kill domain that there is.
func (s *Spawner) fork(path string, argv []string, cmd *Command, attr *syscall.ProcAttr) (*group, domain, error) {
	h := s.host
	if h == nil {
		g := &group{}
		g.init(launcherName(cmd))
		pid, pidfd, err := forkExec(path, argv, attr, &s.system.noPidfd)
		g.pid, g.pidfd = pid, pidfd
		return g, g, err
	}
	chosen := h.KillDomain() // before anything is started
	d := &descendants{tree: tree{host: h, scope: cmd.Scope}}
	d.init(launcherName(cmd))
	d.kill.init(&d.tree, &s.wg)
	err := d.fork(path, argv, attr)
	if chosen == KillDomainProcessGroup {
		return &d.group, &d.tree, err
	}
	return &d.group, d, err
}

// fork starts the program of the command. After an error nothing is left behind.
func (t *tree) fork(path string, argv []string, attr *syscall.ProcAttr) error {
	if err := t.prepare(attr); err != nil {
		return err
	}
	t.host.starts()
	started, err := t.host.forker.fork(t.number, t.place, path, argv, attr)
	if t.cgroup.Unusable(err) { // the command shall run
		t.host.choice.cgroups.Drop(t.cgroup)
		t.cgroup, attr.Sys.UseCgroupFD = nil, false
		started, err = t.host.forker.fork(t.number, t.place, path, argv, attr)
	}
	if err != nil {
		err = t.place.Refused(err)
		t.release()
		return err
	}
	t.host.adoption.registry.start(t, started)
	t.host.started()
	return nil
}

// prepare gives the command its mark and its cgroups.
func (t *tree) prepare(attr *syscall.ProcAttr) (err error) {
	h := t.host
	if t.place, err = h.choice.limiter.Admit(t.scope); err != nil {
		return err
	}
	attr.Sys.Pdeathsig = unix.SIGKILL // the second net: see guard_linux.go
	t.born, t.carries = bootTicks(), h.forker.can()
	h.adoption.registry.add(t)
	h.adoption.reaper.resume()
	attr.Env = append(slices.DeleteFunc(slices.Clone(attr.Env), procfs.IsMarker), h.adoption.marker(t))
	if t.cgroup = h.choice.cgroups.For(t.place); t.cgroup != nil {
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, t.cgroup.FD()
	}
	return nil
}

// release gives back what the tree has of the host.
func (t *tree) release() {
	t.host.adoption.registry.remove(t)
	t.host.adoption.forget(t)
	t.host.choice.cgroups.Give(t.cgroup)
	t.place.Release()
}
