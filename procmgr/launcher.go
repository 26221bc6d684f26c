package procmgr

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/proctor-mcp/proctor/procmgr/spawn"
)

// launcher is the argv in front of a command, with all that depends on where it runs the
// command. An empty argv is no launcher.
type launcher struct {
	argv []string
	// remote names its program if that runs the command elsewhere, else it is "". The
	// environment, the directory, the signals and the descendants that this machine sees
	// are then those of the launcher itself.
	remote string
}

func newLauncher(argv []string) launcher { return launcher{argv, RemoteLauncher(argv)} }

// RemoteLauncher returns the name of a launcher's program if it is known to run
// the command elsewhere, where no signal, kill domain or limit of this machine
// reaches, else "".
func RemoteLauncher(argv []string) string {
	if len(argv) == 0 {
		return ""
	}
	name := strings.TrimSuffix(filepath.Base(argv[0]), ".exe")
	switch name {
	case "ssh", "docker", "podman", "nerdctl", "kubectl", "machinectl":
		return name
	case "systemd-run":
		// With --scope it runs the command itself; else the service manager does.
		if !slices.Contains(argv, "--scope") {
			return name
		}
	}
	return ""
}

// reachesDir returns a *RemoteError if the command cannot be started in a directory
// of this machine.
func (l launcher) reachesDir(dir string) error {
	if l.remote != "" && dir != "" {
		return &RemoteError{"workdir", dir, l.remote}
	}
	return nil
}

// apply puts the launcher before a command. search is the environment whose PATH
// names its program: it is the server's, not the process's. env is what a remote
// command is to find in its environment.
func (l launcher) apply(cmd *spawn.Command, search, env []string) {
	if len(l.argv) == 0 {
		return
	}
	cmd.Search = search
	if l.remote == "" {
		cmd.Launcher = l.argv
		return
	}
	argv := slices.Concat([]string{"env"}, env, cmd.Argv)
	if l.remote == "ssh" {
		// It joins its arguments by blanks, for the shell at the other end.
		for i, word := range argv {
			argv[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	// A remote launcher is started as the command itself, so that signals go to it and to
	// what it forked, rather than past it.
	cmd.Argv = slices.Concat(l.argv, argv)
}

// remoteEnv returns what a start asks for, for env(1) at the other end: the
// server's own environment does not travel.
func remoteEnv(scope Scope, id string, spec *Spec) []string {
	env := environment{}
	env.setRequested(scope, id, spec)
	delete(env, envProcessID)
	// It comes first, so that env(1) takes no name that begins with "-" for an
	// option.
	return append([]string{envProcessID + "=" + id}, env.list()...)
}

// reachesSignal returns a *RemoteError for a signal that does not pass the launcher.
// Terminate and kill end the launcher, which most often ends the command.
func (l launcher) reachesSignal(sig Signal) error {
	if l.remote != "" && sig != SignalTerminate && sig != SignalKill {
		return &RemoteError{"signal", string(sig), l.remote}
	}
	return nil
}

// reachesDescendants reports whether signals reach what the command forked.
func (l launcher) reachesDescendants() bool { return l.remote == "" }

// descendants counts what lives on of an ended command, and returns Unknown if that
// cannot be seen. alive is whether something is alive on this machine.
func (l launcher) descendants(p *spawn.Process, alive bool) int {
	switch {
	case l.remote != "":
		return Unknown
	case !alive:
		return 0
	}
	members, err := p.Members()
	if err != nil {
		return Unknown
	}
	return len(members)
}

// ports returns the ports on which the processes of a command listen.
func (l launcher) ports(p *spawn.Process) ([]Port, error) {
	if l.remote != "" {
		return nil, errors.ErrUnsupported
	}
	return p.Ports()
}

// seesInput reports whether this system can see that the command waits for input.
func (l launcher) seesInput() bool { return l.remote == "" }
