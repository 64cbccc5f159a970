//go:build linux

package cgroup

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Of is the group of ours that a process is in, for another one to enter it. If
// it is in none, because it has no limits, then all that is to be done with the
// result is nothing. Close it in the end; do not Remove it.
func Of(pid int) (*Group, error) { return kernel.of(pid) }

func (h host) of(pid int) (*Group, error) {
	file := filepath.Join(h.proc, strconv.Itoa(pid), "cgroup")
	list, err := read(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	hs, err := h.ours()
	if err != nil {
		return nil, err
	}
	g := &Group{host: h}
	for line := range strings.Lines(list) {
		m, ok := parseMembership(strings.TrimSuffix(line, "\n"))
		if !ok {
			g.Close()
			return nil, fmt.Errorf("%s: malformed line %q", file, line)
		}
		for _, t := range hs {
			name, ok := m.within(t, h.parent)
			if !ok {
				continue
			}
			d := h.dir(t, name)
			if d.fd, err = openDir(d.path); err != nil {
				g.Close()
				return nil, failed(d.path, "open", err, map[unix.Errno]string{
					unix.ENOENT: fmt.Sprintf("has process %d ended?", pid),
				})
			}
			g.dirs = append(g.dirs, d)
		}
	}
	return g, nil
}

// membership is a line of /proc/PID/cgroup (cgroups(7)): version 1's with its
// controllers, version 2's with none.
//
//	4:memory:/container/veth1f3a9c02
//	1:cpu,cpuacct:/container/veth1f3a9c02
//	0::/container/veth1f3a9c02
type membership struct {
	controllers []string
	group       string
}

func parseMembership(line string) (membership, bool) {
	f := strings.SplitN(line, ":", 3)
	if len(f) < 3 || !strings.HasPrefix(f[2], "/") {
		return membership{}, false
	}
	m := membership{group: f[2]}
	if f[1] != "" {
		m.controllers = strings.Split(f[1], ",")
	}
	return m, true
}

// within is the name that the group has below our parent directory in a
// hierarchy.
func (m membership) within(t *hierarchy, parent string) (name string, ok bool) {
	if t.v2 != (m.controllers == nil) {
		return "", false
	}
	if !t.v2 && !slices.ContainsFunc(controllers, func(c controller) bool {
		return t.has(c.name) && slices.Contains(m.controllers, c.name)
	}) {
		return "", false
	}
	// Not path.Join: a mount may show more than our namespace does, and then
	// its root is "/..", and the group "/../container/veth1f3a9c02".
	name, ok = strings.CutPrefix(m.group, strings.TrimSuffix(t.root, "/")+"/"+parent+"/")
	return name, ok && name != "" && path.Clean("/"+name) == "/"+name
}
