//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"container/file"
)

// volume is a file or directory of the host that the container has too.
type volume struct {
	source, target string
	readOnly       bool
	dir            bool    // source is a directory
	device         bool    // source is a device's node
	flags          uintptr // of the mount that it is on (MS_NOSUID, …)
}

// parseVolume reads SRC:DST[:ro].
func parseVolume(s string) (volume, error) {
	f := strings.Split(s, ":")
	if len(f) == 3 && f[2] != "ro" && f[2] != "rw" || len(f) < 2 || len(f) > 3 {
		return volume{}, errors.New("it takes SRC:DST or SRC:DST:ro")
	}
	v := volume{source: f[0], target: path.Clean(f[1]), readOnly: len(f) == 3 && f[2] == "ro"}
	if v.source == "" || !path.IsAbs(f[1]) || v.target == "/" {
		return volume{}, errors.New("it takes SRC:DST, where DST is a path from / on, and not / itself")
	}
	return v, nil
}

// look finds out what the source is.
func (v *volume) look() error {
	var st unix.Stat_t
	if err := unix.Stat(v.source, &st); err != nil {
		return fmt.Errorf("-v %s: %w", v.source, err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		v.dir = true
	case unix.S_IFCHR, unix.S_IFBLK:
		v.device = true
	}
	var err error
	v.flags, err = mountFlags(v.source)
	return err
}

// mountFlags is what the mount that a path is on takes from its files. A
// remount takes it too, or gives it back.
func mountFlags(name string) (uintptr, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(name, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: name, Err: err}
	}
	return uintptr(st.Flags) & (noNothing | unix.MS_RDONLY), nil // ST_… are the same numbers
}

// mkdir makes a directory with those above it. What can't be made is missed by
// whoever mounts there.
func (p *program) mkdir(dir string) []step {
	var steps []step
	for i := 1; i <= len(dir); i++ {
		if i == len(dir) || dir[i] == '/' {
			steps = append(steps, call("mkdir "+dir[:i], unix.SYS_MKDIRAT, atFDCWD(), p.str(dir[:i]), 0o755).
				passing(unix.EEXIST, unix.EROFS, unix.ENOENT))
		}
	}
	return steps
}

// touch makes an empty file, to mount something on.
func (p *program) touch(name string) step {
	return call("mknod "+name, unix.SYS_MKNODAT, atFDCWD(), p.str(name), unix.S_IFREG|0o644, 0).
		passing(unix.EEXIST, unix.EROFS, unix.ENOENT)
}

// filesystem is the steps that make the container's tree: DIR, or the host's
// own, with fresh kernel file systems on it, in a mount namespace that shares
// nothing with the host's.
//
// DIR may be the tree of another container too, which can rename and replace
// whatever is in it at any moment: what was /proc when something was mounted
// there may be a link to elsewhere when a part of it is to be hidden. So /proc,
// /sys and /dev are made complete where no container sees them, and each comes
// into the tree in one piece. Where a link leads that to is the tree's affair.
func (p *program) filesystem(o *options) ([]step, error) {
	steps := append(make([]step, 0, 128),
		// Modes are meant as they are given.
		call("umask", unix.SYS_UMASK, 0),
		// Nothing that is mounted here shows on the host, nor the other way.
		p.mount("make mounts private", "", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
	)
	// Sources of volumes are of the host's tree, which goes away. What is
	// cloned here is mounted nowhere yet.
	for i, v := range o.volumes {
		steps = append(steps, p.openTree(v.source, p.lowestFD(i)))
	}
	apart := o.hasRoot() && !lacksOpenTree()
	if o.hasRoot() {
		steps = append(steps, p.enterRoot(o.rootfs)...)
		if apart {
			steps = append(steps, p.kernelTreesApart(o, len(o.volumes))...)
		}
		root, err := p.changeRoot()
		if err != nil {
			return nil, err
		}
		steps = append(steps, root...)
		steps = append(steps, p.mountPoints(o)...)
	}
	tree, err := p.restrict(o)
	if err != nil {
		return nil, err
	}
	steps = append(steps, tree...)
	if apart {
		steps = append(steps, p.attachKernelTrees(len(o.volumes))...)
	} else {
		steps = append(steps, p.kernelTrees("", o)...)
	}
	for i, v := range o.volumes {
		if o.makes(v) {
			// Again: what another volume, or the fresh /dev, has come to lie on.
			steps = append(steps, p.mountPoint(v)...)
		}
		attach, err := p.attach(v, p.lowestFD(i), o.privileged)
		if err != nil {
			return nil, err
		}
		steps = append(steps, attach...)
	}
	files, err := p.names(o)
	if err != nil {
		return nil, err
	}
	steps = append(steps, files...)
	if o.hasRoot() {
		steps = append(steps, p.mkdir(o.workdir)...)
	}
	return steps, nil
}

// openTree is open_tree(2): a copy of what is mounted at a place and below it,
// mounted nowhere, as the descriptor fd.
func (p *program) openTree(name string, fd uintptr) step {
	return call("open_tree "+name, unix.SYS_OPEN_TREE, atFDCWD(), p.str(name),
		openTreeClone|unix.O_CLOEXEC|unix.AT_RECURSIVE).wanting(fd)
}

// kernelPlaces are where the kernel's own file systems are in every tree.
var kernelPlaces = []string{"/proc", "/sys", "/dev"}

// kernelTrees makes fresh /proc, /sys and /dev below a directory.
func (p *program) kernelTrees(at string, o *options) []step {
	steps := slices.Concat(p.proc(at, o), p.sys(at, o.privileged), p.dev(at, o.privileged))
	if !o.privileged {
		steps = append(steps, p.hide(at)...)
	}
	return steps
}

// kernelTreesApart makes them in a place that goes away with the host's tree,
// over its /proc, and opens each: opened descriptors there are before. Linux 5.2
// has open_tree(2); without it they are made in the container's tree.
func (p *program) kernelTreesApart(o *options, opened int) []step {
	const apart = "/proc"
	steps := []step{p.mount("mount tmpfs on "+apart, "tmpfs", apart, "tmpfs", noNothing, "mode=0700")}
	for _, name := range kernelPlaces {
		steps = append(steps, call("mkdir "+apart+name, unix.SYS_MKDIRAT, atFDCWD(), p.str(apart+name), 0o755))
	}
	steps = append(steps, p.kernelTrees(apart, o)...)
	for i, name := range kernelPlaces {
		steps = append(steps, p.openTree(apart+name, p.lowestFD(opened+i)))
	}
	if mayBeRootfs() {
		// It may not go away (coverRoot).
		steps = append(steps, call("umount "+apart, unix.SYS_UMOUNT2, p.str(apart), unix.MNT_DETACH))
	}
	return steps
}

// attachKernelTrees mounts what kernelTreesApart has opened.
func (p *program) attachKernelTrees(opened int) []step {
	var steps []step
	for i, name := range kernelPlaces {
		fd := p.lowestFD(opened + i)
		steps = append(steps,
			p.moveMount("mount "+name, fd, name),
			closing("the tree of "+name, fd))
	}
	return steps
}

// moveMount is move_mount(2) of an open tree. A symbolic link in the target
// leads nowhere but to another place in the container's tree.
func (p *program) moveMount(text string, fd uintptr, target string) step {
	return call(text, unix.SYS_MOVE_MOUNT, fd, p.str(""), atFDCWD(), p.str(target), moveEmptySource|moveFollowLinks)
}

// makes tells whether a volume's target is made if it is missing.
func (o *options) makes(v volume) bool { return o.hasRoot() || strings.HasPrefix(v.target, "/dev/") }

// enterRoot makes a directory a mount point, which pivot_root wants, and the
// working directory.
func (p *program) enterRoot(dir string) []step {
	return []step{
		p.mount("bind "+dir+" to itself", dir, dir, "", unix.MS_BIND|unix.MS_REC, ""),
		call("chdir "+dir, unix.SYS_CHDIR, p.str(dir)),
	}
}

// changeRoot makes the working directory the root of the mount namespace and
// lets go of what was the root.
func (p *program) changeRoot() ([]step, error) {
	pivot, err := p.pivot()
	if err != nil {
		return nil, err
	}
	return append(pivot, call("chdir /", unix.SYS_CHDIR, p.str("/"))), nil
}

// mountPoints makes what will be mounted on, in a root file system that lacks
// it. The host's own tree is not added to.
func (p *program) mountPoints(o *options) []step {
	var steps []step
	for _, dir := range []string{"/proc", "/sys", "/dev", "/etc"} {
		steps = append(steps, p.mkdir(dir)...)
	}
	for _, f := range nameFiles {
		steps = append(steps, p.touch(f))
	}
	for _, v := range o.volumes {
		if !strings.HasPrefix(v.target, "/dev/") {
			steps = append(steps, p.mountPoint(v)...)
		}
	}
	if o.readOnly {
		// Later, where the others are made, it can't be.
		steps = append(steps, p.mkdir(o.workdir)...)
	}
	return steps
}

// mountPoint makes what a volume is mounted on.
func (p *program) mountPoint(v volume) []step {
	if v.dir {
		return p.mkdir(v.target)
	}
	return append(p.mkdir(path.Dir(v.target)), p.touch(v.target))
}

// mountAttr is struct mount_attr (linux/mount.h).
type mountAttr struct{ set, clear, propagation, userNS uint64 }

// setAttr is mount_setattr(2) on a whole tree of mounts. Linux 5.12 has it.
func (p *program) setAttr(text string, fd uintptr, name string, flags uintptr, attr mountAttr) step {
	a := &attr
	p.keep = append(p.keep, a)
	return call(text, unix.SYS_MOUNT_SETATTR, fd, p.str(name), flags|unix.AT_RECURSIVE,
		uintptr(unsafe.Pointer(a)), unsafe.Sizeof(attr))
}

// restrict takes from everything that is mounted what the container must not do there: write, with
// -read-only, and open devices. It may make their nodes (CAP_MKNOD), and may
// find some, but those that it can use are in its /dev.
func (p *program) restrict(o *options) ([]step, error) {
	dir := "/"
	if o.hasRoot() {
		dir = o.rootfs
	}
	flags, err := mountFlags(dir)
	if err != nil {
		return nil, err
	}
	var take uintptr
	if !o.privileged {
		take |= unix.MS_NODEV
	}
	if o.readOnly {
		take |= unix.MS_RDONLY
	}
	if take == 0 {
		return nil, nil
	}
	steps := []step{p.setAttr("restrict mounts", atFDCWD(), "/", 0, mountAttr{set: uint64(take)})} // MOUNT_ATTR_… are the same numbers
	if lacksSetAttr() {
		if steps, err = p.restrictBelow(dir, "/", take); err != nil {
			return nil, err
		}
	}
	return append(steps, p.remount("/", flags|take)), nil
}

// remount sets the flags of a mount alone, those of what is mounted below it
// left as they are.
func (p *program) remount(name string, flags uintptr) step {
	return p.mount("remount "+name, "", name, "", unix.MS_REMOUNT|unix.MS_BIND|flags, "")
}

// attach mounts a volume that was opened as fd.
func (p *program) attach(v volume, fd uintptr, privileged bool) ([]step, error) {
	var steps []step
	var take uintptr
	if v.readOnly {
		take |= unix.MS_RDONLY
	}
	if !privileged && !v.device {
		take |= unix.MS_NODEV
	}
	old := take != 0 && lacksSetAttr()
	if take != 0 && !old {
		steps = append(steps, p.setAttr("restrict the volume "+v.source, fd, "", unix.AT_EMPTY_PATH, mountAttr{set: uint64(take)}))
	}
	steps = append(steps, p.moveMount(fmt.Sprintf("mount volume %s on %s", v.source, v.target), fd, v.target))
	if old {
		// By its name, which need not lead to the same place any more.
		steps = append(steps, p.remount(v.target, v.flags|take))
		more, err := p.restrictBelow(v.source, v.target, take)
		if err != nil {
			return nil, err
		}
		steps = append(steps, more...)
	}
	return append(steps, closing("the volume", fd)), nil
}

// Of linux/mount.h.
const (
	openTreeClone   = 0x1
	moveEmptySource = 0x4  // MOVE_MOUNT_F_EMPTY_PATH
	moveFollowLinks = 0x10 // MOVE_MOUNT_T_SYMLINKS
)

const noNothing = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// What of /proc and /sys is hidden, and what is read-only, as Docker has it:
// it tells of the host or changes it, and is not confined by any namespace.
var (
	maskedPaths = []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
		"/sys/devices/virtual/powercap", "/sys/firmware",
	}
	readOnlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

// proc mounts a /proc of the container's own processes, below a directory.
func (p *program) proc(at string, o *options) []step {
	steps := append(make([]step, 0, 32), p.mount("mount proc on "+at+"/proc", "proc", at+"/proc", "proc", noNothing, ""))
	if o.network == bridged {
		steps = append(steps, p.prepareIPv6(at, o)...)
		steps = append(steps, p.sendSocket(unix.NETLINK_ROUTE, len(o.volumes))...)
	}
	if o.privileged {
		return steps
	}
	for _, name := range readOnlyPaths {
		if there, _ := file.Exists(name); !there {
			continue // the kernel hasn't got it
		}
		name = at + name
		steps = append(steps,
			p.mount("bind "+name+" to itself", name, name, "", unix.MS_BIND, ""),
			p.remount(name, unix.MS_RDONLY|noNothing))
	}
	return steps
}

// sys mounts a /sys that shows the container's own network, and its cgroup.
func (p *program) sys(at string, privileged bool) []step {
	flags := uintptr(noNothing)
	if !privileged {
		flags |= unix.MS_RDONLY
	}
	return []step{
		p.mount("mount sysfs on "+at+"/sys", "sysfs", at+"/sys", "sysfs", flags, ""),
		// A kernel or a host without cgroup v2 has nothing to show.
		p.mount("mount cgroup2 on "+at+"/sys/fs/cgroup", "cgroup2", at+"/sys/fs/cgroup", "cgroup2", flags, "").
			passing(unix.ENODEV, unix.ENOENT, unix.EBUSY),
	}
}

// devices are the nodes of /dev, with their numbers
// (Documentation/admin-guide/devices.txt).
var devices = []struct {
	name         string
	major, minor uint32
}{
	{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0},
}

// devBlocks is how much a container can write into its /dev, in pages: a file
// takes one at least, be that of 4 KiB or of 64.
const devBlocks = "16"

// dev mounts a /dev with nothing of the host's in it. Each node is a mount of
// its own, so that the others can be of no use: those that the container makes.
func (p *program) dev(at string, privileged bool) []step {
	dev := at + "/dev"
	steps := append(make([]step, 0, 32), p.mount("mount tmpfs on "+dev, "tmpfs", dev, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=0755,nr_blocks="+devBlocks))
	for _, d := range devices {
		name := dev + "/" + d.name
		steps = append(steps, call("mknod "+name, unix.SYS_MKNODAT, atFDCWD(), p.str(name),
			unix.S_IFCHR|0o666, uintptr(unix.Mkdev(d.major, d.minor))))
		if !privileged {
			steps = append(steps, p.mount("bind "+name+" to itself", name, name, "", unix.MS_BIND, ""))
		}
	}
	if !privileged {
		steps = append(steps, p.remount(dev, noNothing))
	}
	for _, l := range [][2]string{
		{"pts/ptmx", "/ptmx"}, {"/proc/self/fd", "/fd"},
		{"/proc/self/fd/0", "/stdin"}, {"/proc/self/fd/1", "/stdout"}, {"/proc/self/fd/2", "/stderr"},
	} {
		steps = append(steps, call("symlink "+dev+l[1], unix.SYS_SYMLINKAT, p.str(l[0]), atFDCWD(), p.str(dev+l[1])))
	}
	for _, name := range []string{"/pts", "/shm", "/mqueue"} {
		steps = append(steps, call("mkdir "+dev+name, unix.SYS_MKDIRAT, atFDCWD(), p.str(dev+name), 0o755))
	}
	return append(steps,
		p.mount("mount devpts on "+dev+"/pts", "devpts", dev+"/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"),
		p.mount("mount tmpfs on "+dev+"/shm", "tmpfs", dev+"/shm", "tmpfs", noNothing, "mode=1777,size=64m"),
		// Without CONFIG_POSIX_MQUEUE there is none.
		p.mount("mount mqueue on "+dev+"/mqueue", "mqueue", dev+"/mqueue", "mqueue", noNothing, "").passing(unix.ENODEV),
	)
}

// hide hides maskedPaths: a file under /dev/null, a directory under an empty tmpfs.
func (p *program) hide(at string) []step {
	var steps []step
	for _, name := range maskedPaths {
		there, dir := file.Exists(name)
		name = at + name
		switch {
		case !there: // the kernel hasn't got it
		case dir:
			steps = append(steps, p.mount("hide "+name, "tmpfs", name, "tmpfs", noNothing|unix.MS_RDONLY, "").passing(unix.ENOENT))
		default:
			steps = append(steps, p.mount("hide "+name, at+"/dev/null", name, "", unix.MS_BIND, "").passing(unix.ENOENT))
		}
	}
	return steps
}
