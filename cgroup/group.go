//go:build linux

package cgroup

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Group is a container's control group: a directory of the same name in each
// hierarchy that has to do with its limits. With no limit there is none.
type Group struct {
	host host
	dirs []*dir
}

// dir is a group's directory in one hierarchy.
type dir struct {
	*hierarchy
	path     string
	parent   string // the directory that all of our groups are in
	enable   []string
	settings []setting
	fd       int // of the directory, with the lock that keeps Sweep away, or -1
}

// New makes a container's group and sets its limits. When it fails it leaves no
// group behind, and a limit that no controller is there for it refuses before
// it makes anything.
//
// The group belongs to the process for as long as that lives, or until Remove
// or Close: no Sweep removes it.
func New(name string, l Limits) (*Group, error) { return kernel.make(name, l) }

func (h host) make(name string, l Limits) (*Group, error) {
	dirs, err := h.plan(name, l)
	if err != nil {
		return nil, err
	}
	return h.carryOut(dirs)
}

// plan is the directories of a group to be, with what goes into them.
func (h host) plan(name string, l Limits) ([]*dir, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\n\x00") {
		return nil, fmt.Errorf("cgroup %q: not the name of a directory", name)
	}
	if !l.Any() {
		return nil, nil
	}
	hs, err := h.hierarchies()
	if err != nil {
		return nil, err
	}
	var dirs []*dir
	for _, c := range controllers {
		// What is asked for is the same in both versions, its words are not.
		if len(l.settings(c, true)) == 0 {
			continue
		}
		t := holding(hs, c)
		if t == nil {
			return nil, h.missing(hs, c)
		}
		i := slices.IndexFunc(dirs, func(d *dir) bool { return d.hierarchy == t })
		if i < 0 {
			i = len(dirs)
			dirs = append(dirs, h.dir(t, name))
		}
		dirs[i].enable = append(dirs[i].enable, c.name)
		dirs[i].settings = append(dirs[i].settings, l.settings(c, t.v2)...)
	}
	return dirs, nil
}

// dir is a group of ours in a hierarchy.
func (h host) dir(t *hierarchy, name string) *dir {
	parent := filepath.Join(t.top, h.parent)
	return &dir{hierarchy: t, path: filepath.Join(parent, name), parent: parent, fd: -1}
}

func (h host) carryOut(dirs []*dir) (*Group, error) {
	g := &Group{host: h}
	for _, d := range dirs {
		err := h.claim(d)
		if err == nil {
			g.dirs = append(g.dirs, d)
			err = h.limit(d)
		}
		if err != nil {
			err = errors.Join(err, g.Remove())
			for _, d := range dirs {
				_ = h.rmdir(d.parent) // busy, where others are in it
			}
			return nil, err
		}
	}
	return g, nil
}

// claim makes a group's directory and takes the lock on it.
func (h host) claim(d *dir) error {
	// A Sweep may take the parent away before the group is in it, or the group
	// before it is locked. It would have to happen each time for the loop to
	// come to its end.
	for range 100 {
		if err := h.mkdir(d.parent); err != nil && !errors.Is(err, unix.EEXIST) {
			return failed(d.parent, "mkdir", err, mkdirAdvice)
		}
		if err := h.mkdir(d.path); isGone(err) {
			continue
		} else if err != nil {
			return failed(d.path, "mkdir", err, mkdirAdvice)
		}
		fd, err := lockDir(d.path, unix.LOCK_SH)
		if err == nil {
			d.fd = fd
			return nil
		}
		if !isGone(err) {
			return errors.Join(failed(d.path, "lock", err, nil), h.remove(d.path, patience))
		}
	}
	return fmt.Errorf("cgroup %s: removed by somebody each time it is made", d.path)
}

var mkdirAdvice = map[unix.Errno]string{
	unix.EACCES: "it takes root",
	unix.EPERM:  "it takes root",
	unix.EROFS:  "the hierarchy is mounted read-only here",
	unix.EAGAIN: "cgroup.max.descendants or cgroup.max.depth of a group above is reached",
	unix.ENOSPC: "there are too many groups, those included that are removed but whose memory is still in use",
	unix.EEXIST: "somebody else has a group of that name, or left it behind: main gc",
}

// lockDir opens a directory and locks it. With LOCK_SH it waits for a Sweep
// that holds it, and then finds it gone: ENOENT.
func lockDir(path string, how int) (int, error) {
	fd, err := openDir(path)
	if err != nil {
		return -1, err
	}
	err = ignoringEINTR(func() error { return unix.Flock(fd, how) })
	var locked, there unix.Stat_t
	if err == nil {
		err = unix.Fstat(fd, &locked)
	}
	if err == nil {
		err = unix.Stat(path, &there)
	}
	if err == nil && locked.Ino != there.Ino {
		err = unix.ENOENT // it has been removed, and another one made
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// limit sets what the group was made for. Nothing of it can be undone by a
// Sweep any more: the parent stays as long as the group does.
func (h host) limit(d *dir) error {
	if err := h.handDown(d, false); err != nil {
		return err
	}
	if d.mustHaveCPUs() {
		for _, group := range []string{d.parent, d.path} {
			if err := h.inheritCPUs(d.top, group); err != nil {
				return err
			}
		}
	}
	for _, s := range d.settings {
		if err := h.set(d, s); err != nil {
			return err
		}
	}
	return nil
}

func (h host) set(d *dir, s setting) error {
	file := filepath.Join(d.path, s.file)
	err := h.write(file, s.value)
	if d.v2 && errors.Is(err, unix.ENOENT) {
		// Somebody else may just have begun to hand the controller down: the
		// kernel says so before the files are there. It does one such change at
		// a time, so to ask for it again is to wait.
		if err := h.handDown(d, true); err != nil {
			return err
		}
		err = h.write(file, s.value)
	}
	if s.lacking == "" && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP)) {
		return nil
	}
	if err != nil {
		return failed(d.path, "set "+s.file+" to "+s.value, err, map[unix.Errno]string{
			unix.ENOENT: "the kernel has no such limit: " + s.lacking,
			unix.EINVAL: "does a group above allow less?",
			unix.EACCES: "it takes root",
		})
	}
	return nil
}

// handDown has the groups above one give it their controllers, in version 2.
// What they give already is asked for only if again is true: it costs nothing
// to read, and would be one more thing to be refused.
func (h host) handDown(d *dir, again bool) error {
	if !d.v2 {
		return nil
	}
	for _, above := range []string{d.top, d.parent} {
		if err := h.handDownFrom(above, d.enable, again); err != nil {
			return err
		}
	}
	return nil
}

func (h host) handDownFrom(group string, controllers []string, again bool) error {
	const file = "cgroup.subtree_control"
	given, err := read(filepath.Join(group, file))
	if err != nil {
		return failed(group, "read "+file, err, nil)
	}
	var add []string
	for _, c := range controllers {
		if again || !slices.Contains(strings.Fields(given), c) {
			add = append(add, "+"+c)
		}
	}
	if len(add) == 0 {
		return nil
	}
	what := strings.Join(add, " ")
	if err := h.write(filepath.Join(group, file), what); err != nil {
		return failed(group, "write "+what+" to "+file, err, map[unix.Errno]string{
			unix.EBUSY:      "it has processes, and is not the root: move them to a group below it, or start main in the host's cgroup namespace",
			unix.EOPNOTSUPP: "it is a threaded group",
			unix.EINVAL:     "with CONFIG_RT_GROUP_SCHED, realtime processes must be in the root group for +cpu",
			unix.EACCES:     "it takes root",
		})
	}
	return nil
}

// mustHaveCPUs says that the controller cpuset of version 1 is mounted together
// with one of ours, as it is when somebody mounts all of them at once. It
// refuses processes with ENOSPC until a group has been given CPUs and memory
// nodes. (A mount with the option noprefix is cpuset's alone.)
func (d *dir) mustHaveCPUs() bool { return !d.v2 && d.has("cpuset") }

var cpusetFiles = []string{"cpuset.cpus", "cpuset.mems"}

// inheritCPUs gives a group that has none the CPUs and memory nodes of another.
func (h host) inheritCPUs(from, group string) error {
	for _, file := range cpusetFiles {
		has, err := read(filepath.Join(group, file))
		if err != nil {
			return failed(group, "read "+file, err, nil)
		}
		if strings.TrimSpace(has) != "" {
			continue
		}
		value, err := read(filepath.Join(from, file))
		if err != nil {
			return failed(from, "read "+file, err, nil)
		}
		if err := h.write(filepath.Join(group, file), value); err != nil {
			return failed(group, "set "+file+" to "+value, err, nil)
		}
	}
	return nil
}

// FD is a descriptor of the group's directory in version 2, for clone3 with
// CLONE_INTO_CGROUP (Linux 5.7), or -1: none of the limits is of that version.
func (g *Group) FD() int {
	for _, d := range g.dirs {
		if d.v2 {
			return d.fd
		}
	}
	return -1
}

// Entrances is the files into which a process writes "0" to enter the group,
// itself and at little cost. It must have one thread. cloned says that it was
// made by clone3 with FD, and so is in version 2's group already.
//
// The files are named as the host's mounts have them. The process does well to
// enter before it has a cgroup namespace of its own, for the group that it is
// in when it calls unshare(CLONE_NEWCGROUP) is the root of what it sees then.
// With CLONE_NEWCGROUP that is its parent's group, except in version 2 with
// CLONE_INTO_CGROUP.
func (g *Group) Entrances(cloned bool) []string {
	var files []string
	for _, d := range g.dirs {
		switch {
		case !d.v2:
			files = append(files, filepath.Join(d.path, "tasks"))
		case !cloned:
			files = append(files, filepath.Join(d.path, "cgroup.procs"))
		}
	}
	return files
}

// Dirs is the directories to remove at the end, for one who can't call Remove.
// ENOENT is as good as success then, and EBUSY is left to a Sweep.
func (g *Group) Dirs() []string {
	paths := make([]string, len(g.dirs))
	for i, d := range g.dirs {
		paths[i] = d.path
	}
	return paths
}

// OOMKilled says whether the kernel has killed a process of the group for want
// of memory. Version 1 tells since Linux 4.13. It must be asked before Remove.
func (g *Group) OOMKilled() bool {
	for _, d := range g.dirs {
		if !d.has(memory.name) {
			continue
		}
		file := "memory.oom_control"
		if d.v2 {
			file = "memory.events"
		}
		// oom_kill 1
		list, err := read(filepath.Join(d.path, file))
		if err != nil {
			return false
		}
		for line := range strings.Lines(list) {
			if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
				return strings.TrimSpace(n) != "0"
			}
		}
	}
	return false
}

// patience is how long Remove waits for processes that have ended already, or
// are about to, to leave the group.
const patience = 2 * time.Second

// Remove removes the group, and groups that a process in it may have made below
// it. All processes should have ended, and where the container's first process
// has been waited for, they have. One that was killed and not waited for is
// counted until the kernel is done with it, so a group that is busy is tried
// again, for up to two seconds. Remove kills nothing: a process that is still
// there then has no business there, and the error has its number.
func (g *Group) Remove() error {
	var errs []error
	for _, d := range g.dirs {
		errs = append(errs, g.host.remove(d.path, patience))
	}
	g.Close()
	return errors.Join(errs...)
}

// Close lets go of the group without removing it.
func (g *Group) Close() {
	for _, d := range g.dirs {
		if d.fd >= 0 {
			unix.Close(d.fd)
			d.fd = -1
		}
	}
	g.dirs = nil
}
