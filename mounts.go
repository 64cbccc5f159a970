//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mounted is a line of /proc/self/mountinfo (proc_pid_mountinfo(5)), as far as it
// is of interest here:
//
//	36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
//	id parent        point options
type mounted struct {
	id, parent int
	point      string
	flags      uintptr // MS_RDONLY, MS_NOSUID, …
}

// mounts are those that this process sees.
func mounts() ([]mounted, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return parseMounts(string(b)), nil
}

func parseMounts(mountinfo string) []mounted {
	var all []mounted
	for line := range strings.Lines(mountinfo) {
		// Not strings.Fields: a field may be empty.
		f := strings.Split(line, " ")
		if len(f) < 6 {
			continue
		}
		id, err := strconv.Atoi(f[0])
		parent, perr := strconv.Atoi(f[1])
		if err != nil || perr != nil {
			continue
		}
		m := mounted{id: id, parent: parent, point: unescapeOctal(f[4])}
		for option := range strings.SplitSeq(f[5], ",") {
			switch option {
			case "ro":
				m.flags |= unix.MS_RDONLY
			case "nosuid":
				m.flags |= unix.MS_NOSUID
			case "nodev":
				m.flags |= unix.MS_NODEV
			case "noexec":
				m.flags |= unix.MS_NOEXEC
			}
		}
		all = append(all, m)
	}
	return all
}

// unescapeOctal turns \040 into a space: the kernel writes what would break a
// line or a field so, as three digits (mangle_path, fs/seq_file.c).
func unescapeOctal(s string) string {
	before, after, ok := strings.Cut(s, `\`)
	if !ok {
		return s
	}
	if len(after) >= 3 {
		if c, err := strconv.ParseUint(after[:3], 8, 8); err == nil {
			return before + string([]byte{byte(c)}) + unescapeOctal(after[3:])
		}
	}
	return before + `\` + unescapeOctal(after)
}

// onRootfs tells whether this process's root is the one that the kernel began
// with, an initramfs that nothing was mounted over: then it is mounted on
// nothing, and can't be pivoted away.
func onRootfs(all []mounted) bool {
	for _, m := range all {
		if m.point == "/" && m.id == m.parent {
			return true
		}
	}
	return false
}

// mayBeRootfs is a quick look at whether that is worth a closer one.
func mayBeRootfs() bool {
	var st unix.Statfs_t
	if err := unix.Statfs("/", &st); err != nil {
		return false
	}
	kind := uint32(st.Type)
	return kind == unix.RAMFS_MAGIC || kind == unix.TMPFS_MAGIC
}

// pivot makes the working directory, a mount, the root, and what was the root a
// mount on top of it.
func (p *program) pivot() ([]step, error) {
	dot := p.str(".")
	// With the same directory for both, the old root comes to lie on top of the
	// new one, and needs no directory of its own (pivot_root(2)).
	pivot := call("pivot_root . .", unix.SYS_PIVOT_ROOT, dot, dot)
	umount := call("umount the old root", unix.SYS_UMOUNT2, dot, unix.MNT_DETACH)
	if !mayBeRootfs() {
		return []step{pivot, umount}, nil
	}
	all, err := mounts()
	if err != nil || !onRootfs(all) {
		return []step{pivot, umount}, err
	}
	return append(pivot.orElse(p.coverRoot(all), unix.EINVAL), umount), nil
}

// coverRoot is a pivot_root where the root is the one that the kernel began with
// (EINVAL before Linux 7): that stays below everything for ever. So the new
// root is moved over it, and the others that are mounted there are taken away.
//
// Nothing leads back. Where the namespace has its root, which is where ".." ends
// and setns(2) begins, the kernel goes on to what is mounted on top of it.
func (p *program) coverRoot(all []mounted) []step {
	steps := []step{p.mount("move the new root over /", ".", "/", "", unix.MS_MOVE, "")}
	// Here "/" is the old root yet, and paths from there on lead below what
	// covers it.
	for _, m := range all {
		if below(m, all) {
			steps = append(steps, call("umount "+m.point, unix.SYS_UMOUNT2, p.str(m.point), unix.MNT_DETACH).passing(unix.EINVAL, unix.ENOENT))
		}
	}
	chroot := call("chroot . and leave out the next", unix.SYS_CHROOT, p.str("."))
	chroot.skip = 1 // of what covers nothing there is nothing to unmount
	return append(steps, chroot)
}

// below tells whether a mount is on the root itself, but not over all of it.
// With it goes what is mounted on it.
func below(m mounted, all []mounted) bool {
	for _, root := range all {
		if root.id == root.parent && m.parent == root.id && m.id != root.id && m.point != "/" {
			return true
		}
	}
	return false
}

// restrictBelow takes what a container must not do from each mount below a
// directory of the host's, which the container has at a path of its own. It is
// setAttr before Linux 5.12.
func (p *program) restrictBelow(dir, at string, take uintptr) ([]step, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	all, err := mounts()
	if err != nil {
		return nil, err
	}
	var steps []step
	for _, m := range all {
		rest, ok := strings.CutPrefix(m.point, strings.TrimSuffix(real, "/")+"/")
		if ok && rest != "" {
			// EINVAL and ENOENT: another is mounted over it, and it is out of reach.
			steps = append(steps, p.remount(strings.TrimSuffix(at, "/")+"/"+rest, m.flags|take).passing(unix.EINVAL, unix.ENOENT))
		}
	}
	return steps, nil
}

// lacksSetAttr tells whether mount_setattr(2) is missing. It takes no structure
// of no bytes.
func lacksSetAttr() bool { return lacks(unix.SYS_MOUNT_SETATTR, ^uintptr(0), 0, 0, 0, 0) }

// lacksOpenTree tells whether open_tree(2) is missing. It takes no such flags.
func lacksOpenTree() bool { return lacks(unix.SYS_OPEN_TREE, ^uintptr(0), 0, 0x7fff_0000) }
