//go:build linux

package cgroup

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mount is a line of /proc/self/mountinfo (proc_pid_mountinfo(5)):
//
//	35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:7 - cgroup cgroup rw,memory
//	|  |  |    | |                     |           |        | |      |      |
//	id |  dev  | point                 options     optional | fstype source super
//	   parent  root                                fields   separator
type mount struct {
	dev     uint64
	root    string   // the directory of the file system that is mounted
	point   string   // where
	options []string // of this mount
	fstype  string
	super   []string // options of the file system: in version 1, its controllers
}

// parseMounts is the lines of /proc/self/mountinfo, those left out that are
// covered by a later one at the same point.
func parseMounts(mountinfo string) ([]mount, error) {
	var mounts []mount
	for line := range strings.Lines(mountinfo) {
		m, err := parseMount(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return nil, err
		}
		mounts = append(mounts, m)
	}
	last := make(map[string]int, len(mounts))
	for i, m := range mounts {
		last[m.point] = i
	}
	uncovered := mounts[:0]
	for i, m := range mounts {
		if last[m.point] == i {
			uncovered = append(uncovered, m)
		}
	}
	return uncovered, nil
}

func parseMount(line string) (mount, error) {
	malformed := fmt.Errorf("mountinfo: malformed line %q", line)
	// Not strings.Fields: a field may be empty, as the source of what was
	// mounted with mount("", …).
	f := strings.Split(line, " ")
	if len(f) < 6 {
		return mount{}, malformed
	}
	// There are as many optional fields as there are, then "-".
	rest := f[6:]
	for len(rest) > 0 && rest[0] != "-" {
		rest = rest[1:]
	}
	if len(rest) < 4 {
		return mount{}, malformed
	}
	dev, ok := parseDev(f[2])
	if !ok {
		return mount{}, malformed
	}
	return mount{
		dev:     dev,
		root:    unescape(f[3]),
		point:   unescape(f[4]),
		options: strings.Split(f[5], ","),
		fstype:  unescape(rest[1]),
		super:   strings.Split(unescape(rest[3]), ","),
	}, nil
}

func parseDev(s string) (uint64, bool) {
	major, minor, _ := strings.Cut(s, ":")
	a, aerr := strconv.ParseUint(major, 10, 32)
	b, berr := strconv.ParseUint(minor, 10, 32)
	return unix.Mkdev(uint32(a), uint32(b)), aerr == nil && berr == nil
}

// unescape turns \040 into a space. The kernel writes space, tab, newline, "\"
// and "#" so, as three octal digits (mangle_path, fs/seq_file.c).
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
