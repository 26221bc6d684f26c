package procmgr

import (
	"path/filepath"
	"slices"
	"strings"
)

// launcher is the argv in front of a command, none if it is empty.
type launcher struct {
	argv []string
	// remote names its program if that runs the command elsewhere: what this
	// system knows of the process, its environment, directory, signals and
	// descendants, is then the launcher's own.
	remote string
}

func (m *Manager) launcher(spec *Spec) launcher {
	l := launcher{argv: m.opts.Launcher}
	if spec.Launcher != nil {
		l.argv = spec.Launcher
	}
	l.remote = RemoteLauncher(l.argv)
	return l
}

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

// apply puts the launcher before a command. search is the environment whose PATH
// names its program: it is the server's, not the process's. env is what a remote
// command is to find in its environment.
func (l launcher) apply(cmd *EngineCommand, search, env []string) {
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
	// To the engine a remote launcher is the command: a signal is to end it, and
	// all that it may have forked to get there.
	cmd.Argv = slices.Concat(l.argv, argv)
}

// remoteEnv returns what a start asks for, for env(1) at the other end: the
// server's own environment does not travel.
func remoteEnv(scope Scope, id string, spec *Spec) []string {
	var env environment
	// It comes first, so that env(1) takes no name that begins with "-" for an
	// option.
	env.set(envProcessID + "=" + id)
	env.ask(scope, id, spec)
	return env.list()
}
