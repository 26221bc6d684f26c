package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/proctor-mcp/proctor/procmgr/spawn/procfs"
)

// errNoHierarchy reports that no hierarchy with that controller has the program.
var errNoHierarchy = errors.New("the cgroup of the server cannot be seen from here")

// Own returns the directory of the program's own cgroup in the hierarchy that has a
// controller of version 1, or with "" in that of version 2.
func Own(controller string) (string, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	own := ""
	for line := range strings.Lines(string(text)) {
		// cgroups(7): id:controllers:path
		if fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3); len(fields) == 3 && slices.Contains(strings.Split(fields[1], ","), controller) {
			own = fields[2]
		}
	}
	if own == "" || strings.Contains(own, "/../") {
		return "", errNoHierarchy
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(mounts)) {
		// proc_pid_mountinfo(5): id parent dev root mountpoint options… - type source options
		before, after, _ := strings.Cut(line, " - ")
		fields, mount := strings.Fields(before), strings.Fields(after)
		if len(fields) < 5 || len(mount) < 3 {
			continue
		}
		v2 := controller == "" && mount[0] == "cgroup2"
		if !v2 && (mount[0] != "cgroup" || !slices.Contains(strings.Split(mount[2], ","), controller)) {
			continue
		}
		if below, ok := strings.CutPrefix(own, strings.TrimSuffix(fields[3], "/")); ok {
			return filepath.Join(fields[4], below), nil
		}
	}
	return "", errors.New("the cgroup hierarchy is not mounted")
}

// dirName returns the name of an instance's directory. It names the namespaces too: a
// server that sweeps must find out whether the instance lives, and the number and start of
// an instance mean something in its own namespaces only.
func dirName(instance string) string {
	name := "proctor-" + instance
	for _, ns := range []string{"pid", "time"} {
		id, _ := os.Readlink("/proc/self/ns/" + ns) // "pid:[4026531836]"
		name += "-" + strings.Trim(strings.TrimPrefix(id, ns+":"), "[]")
	}
	return name
}

// Instances calls visit for each instance of our namespaces that has a directory in
// parent, or that left its own cgroup there (procfs.ServerCgroup).
func Instances(parent string, visit func(i procfs.Instance, dir string)) {
	before, after, _ := strings.Cut(dirName("*"), "*")
	pattern := parent + "/" + before + "*" + after
	dirs, _ := filepath.Glob(pattern)
	servers, _ := filepath.Glob(procfs.ServerCgroup(pattern))
	for _, server := range servers {
		if dir := strings.TrimSuffix(server, procfs.ServerCgroup("")); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, dir := range dirs {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(dir), before), after)
		if i, ok := procfs.ParseInstance(name); ok {
			visit(i, dir)
		}
	}
}

// SweepLimits removes the empty cgroups that dead instances have left in the hierarchies
// of version 1. Guards do not look there.
func SweepLimits() {
	for _, name := range []string{"memory", "pids"} {
		own, err := Own(name)
		if err != nil {
			continue
		}
		Instances(own, func(i procfs.Instance, dir string) {
			if lives, err := i.Lives(); err == nil && !lives {
				procfs.RemoveCgroup(dir)
			}
		})
	}
}
