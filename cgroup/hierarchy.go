//go:build linux

package cgroup

import (
	"fmt"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// controller is a part of the kernel that keeps one kind of limit.
type controller struct {
	name   string // as the kernel calls it
	flag   string // as the person who asked for the limit does
	config string // the kernel's option
}

var (
	memory = controller{"memory", "-memory", "CONFIG_MEMCG"}
	cpu    = controller{"cpu", "-cpus", "CONFIG_CGROUP_SCHED"}
	pids   = controller{"pids", "-pids-limit", "CONFIG_CGROUP_PIDS"}

	controllers = []controller{memory, cpu, pids}
)

// hierarchy is a mounted tree of groups.
type hierarchy struct {
	v2          bool
	top         string   // where it is mounted
	root        string   // the name that its topmost group has in /proc/PID/cgroup
	controllers []string // and, in version 1, other options of the mount
	readOnly    bool
}

func (h *hierarchy) has(c string) bool { return slices.Contains(h.controllers, c) }

func (h *hierarchy) version() string {
	if h.v2 {
		return "cgroup v2"
	}
	return "cgroup v1"
}

// hierarchies is every hierarchy that is mounted, the best place to reach each
// first: where it can be written, and where most of the tree is seen.
func (h host) hierarchies() ([]*hierarchy, error) {
	info, err := read(h.proc + "/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read %s/self/mountinfo: %w", h.proc, err)
	}
	mounts, err := parseMounts(info)
	if err != nil {
		return nil, err
	}
	var found []*hierarchy
	for _, m := range mounts {
		if m.fstype != "cgroup" && m.fstype != "cgroup2" || !h.visible(m) {
			continue
		}
		t := &hierarchy{
			v2:          m.fstype == "cgroup2",
			top:         m.point,
			root:        m.root,
			controllers: m.super,
			readOnly:    slices.Contains(m.options, "ro") || slices.Contains(m.super, "ro"),
		}
		if t.v2 {
			// Before Linux 4.5 there is no such file, nor a version 2 to speak
			// of.
			list, err := read(filepath.Join(t.top, "cgroup.controllers"))
			if err != nil {
				continue
			}
			t.controllers = strings.Fields(list)
		}
		found = append(found, t)
	}
	sort.SliceStable(found, func(i, j int) bool {
		a, b := found[i], found[j]
		if a.readOnly != b.readOnly {
			return b.readOnly
		}
		return depth(a.root) < depth(b.root)
	})
	return found, nil
}

// depth is how far a group is below the root of the reader's cgroup namespace,
// from which its name is counted: a group above it is "/..".
func depth(root string) int {
	n := 0
	for name := range strings.SplitSeq(root, "/") {
		switch name {
		case "":
		case "..":
			n--
		default:
			n++
		}
	}
	return n
}

// holding is the hierarchy that has a controller, or nil.
func holding(hs []*hierarchy, c controller) *hierarchy {
	for _, t := range hs {
		if t.has(c.name) {
			return t
		}
	}
	return nil
}

// ours is every hierarchy that groups of ours may be in.
func (h host) ours() ([]*hierarchy, error) {
	all, err := h.hierarchies()
	if err != nil {
		return nil, err
	}
	var ours []*hierarchy
	for _, c := range controllers {
		if t := holding(all, c); t != nil && !slices.Contains(ours, t) {
			ours = append(ours, t)
		}
	}
	return ours, nil
}

// missing is why no mounted hierarchy has a controller, and what to do.
//
// /proc/cgroups knows all controllers of older kernels; newer ones leave out
// those that version 1 was not built for.
//
//	#subsys_name	hierarchy	num_cgroups	enabled
//	memory	4	18	1
func (h host) missing(hs []*hierarchy, c controller) error {
	var why string
	id, enabled, listed := h.subsystem(c.name)
	v2 := slices.IndexFunc(hs, func(t *hierarchy) bool { return t.v2 })
	switch {
	case listed && !enabled:
		why = fmt.Sprintf("the kernel's %s controller is turned off: cgroup_disable=%[1]s on its command line", c.name)
	case listed && id != "0":
		why = fmt.Sprintf("the %s controller is in a cgroup v1 hierarchy that is not mounted here: mount -t cgroup -o %[1]s cgroup DIR", c.name)
	case v2 >= 0 && isBelowRoot(hs[v2].top):
		why = fmt.Sprintf("the %s controller is not handed down to the group at %s: write +%[1]s to cgroup.subtree_control of the groups above it", c.name, hs[v2].top)
	case listed && v2 < 0:
		why = fmt.Sprintf("the %s controller is not mounted here: mount -t cgroup2 cgroup2 /sys/fs/cgroup", c.name)
	case v2 < 0:
		why = fmt.Sprintf("no cgroup hierarchy with a %s controller is mounted here, nor does /proc/cgroups list one: %s, or mount -t cgroup2 cgroup2 /sys/fs/cgroup", c.name, c.config)
	default:
		why = fmt.Sprintf("the kernel has no %s controller here: %s, or cgroup_disable=%[1]s on its command line", c.name, c.config)
	}
	return fmt.Errorf("%s: %s", c.flag, why)
}

// subsystem is a line of /proc/cgroups.
func (h host) subsystem(name string) (id string, enabled, listed bool) {
	list, err := read(h.proc + "/cgroups")
	if err != nil {
		return "", false, false
	}
	for line := range strings.Lines(list) {
		if f := strings.Fields(line); len(f) >= 4 && f[0] == name {
			return f[1], f[3] != "0", true
		}
	}
	return "", false, false
}

// isBelowRoot says that what is mounted is not the root of version 2's tree,
// which alone has no such file.
func isBelowRoot(top string) bool {
	var st unix.Stat_t
	return unix.Stat(filepath.Join(top, "cgroup.events"), &st) == nil
}

// Where says in which version of control groups, and where, a controller is
// found ("memory", "cpu" or "pids"), or why it is not.
func Where(name string) (string, error) { return kernel.where(name) }

func (h host) where(name string) (string, error) {
	i := slices.IndexFunc(controllers, func(c controller) bool { return c.name == name })
	if i < 0 {
		return "", fmt.Errorf("cgroup: controller %q: not one of memory, cpu, pids", name)
	}
	hs, err := h.hierarchies()
	if err != nil {
		return "", err
	}
	t := holding(hs, controllers[i])
	if t == nil {
		return "", h.missing(hs, controllers[i])
	}
	return t.version() + " at " + t.top, nil
}
