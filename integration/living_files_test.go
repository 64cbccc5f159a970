//go:build linux

package integration

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/lab"
)

// The root may be any directory: whatever it is on, by whatever name, and with
// whatever is mounted below it. Nothing of the old root is left, and nothing
// but what is mounted on is added.
func TestRootKinds(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	// The old root's directory, as pivot_root(2)'s example has it, and what
	// others made of it.
	const look = `ls -A /; cat /marker; pwd; readlink /proc/self/root; ls -d /.old* /old* /.pivot* 2>/dev/null; true`
	const want = "bin\ndev\netc\nmarker\nproc\nsys\nthis is it\n/\n/\n"
	const remountable = `mkdir -p $TREE/proc $TREE/sys $TREE/dev $TREE/etc; busybox mount -o bind $TREE $TREE; `
	for _, c := range []struct {
		name, before, rootfs string
		inTree               bool // the caller's working directory is the tree
	}{
		{"a directory", "", "$TREE", false},
		{"a name that ends in a slash", "", "$TREE/", false},
		{"the working directory", "", ".", true},
		{"the directory above", "cd bin", "..", true},
		{"a relative name", "cd ..", "./tree", true},
		{"a symbolic link", "ln -s $TREE $TOP/link", "$TOP/link", false},
		{"a mount point", "busybox mount -o bind $TREE $TREE", "$TREE", false},
		{"tmpfs", "busybox mount -t tmpfs tmpfs $TOP; cp -a $TREE/. $TOP", "$TOP", false},
		{"an overlay", "busybox mount -t tmpfs tmpfs $TOP; mkdir $TOP/up $TOP/work $TOP/m; " +
			"busybox mount -t overlay -o lowerdir=$TREE,upperdir=$TOP/up,workdir=$TOP/work overlay $TOP/m", "$TOP/m", false},
		{"a read-only mount", remountable + "busybox mount -o remount,bind,ro $TREE", "$TREE", false},
		{"shared mounts", remountable + "busybox mount --make-rshared /", "$TREE", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree := busyboxTree(t, "marker", "this is it\n")
			cmd := behind(t, n, c.before+"\n"+`main=$0; set -- "$@"; exec "$main" -rootfs `+c.rootfs+` "$@"`,
				append([]string{address}, script(look)...)...)
			cmd.Env = append(os.Environ(), "TREE="+tree, "TOP="+t.TempDir())
			if c.inTree {
				cmd.Dir = tree
			}
			expect(t, cmd, 0, want, "")
			// What was not mounted elsewhere has got what is mounted on, at most.
			for _, name := range entries(t, tree) {
				if !slices.Contains([]string{"bin", "dev", "etc", "marker", "proc", "sys"}, name) {
					t.Errorf("in the tree is %s now", name)
				}
			}
		})
	}
}

// What is mounted below the root is there too.
func TestRootWithMountsBelow(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree := busyboxTree(t, "mnt/covered", "")
	c := behind(t, n, "busybox mount -t tmpfs tmpfs "+tree+"/mnt; touch "+tree+"/mnt/there",
		words([]string{"-rootfs", tree, address}, script("ls /mnt"))...)
	expect(t, c, 0, "there\n", "")
}

// The host's / by any name is the host's own tree, to which nothing is added.
func TestRootIsHosts(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	mark := filepath.Join(t.TempDir(), "mark")
	put(t, mark, "the host's\n", 0o644)
	before := entries(t, "/")
	for _, args := range [][]string{nil, {"-rootfs", "/"}, {"-rootfs", "//"}, {"-rootfs", "/."}} {
		expect(t, n.Main(words(args, []string{address, "cat", mark})...), 0, "the host's\n", "")
	}
	if now := entries(t, "/"); !slices.Equal(now, before) {
		t.Errorf("in / was %q, and is %q", before, now)
	}
}

func TestNoRoot(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	file := filepath.Join(t.TempDir(), "file")
	put(t, file, "", 0o644)
	before := n.Snapshot()
	expect(t, n.Main("-rootfs", "/no/such", address, "sh"), 125, "", "main: -rootfs /no/such: no such file or directory\n")
	expect(t, n.Main("-rootfs", file, address, "sh"), 125, "", "main: -rootfs "+file+": not a directory\n")
	same(t, n, before)
}

// Nothing that a container mounts shows on the host, be it set up so that
// mounts show everywhere, as a host with systemd is; neither while it runs nor
// afterwards.
func TestHostSeesNoMount(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree := busyboxTree(t)
	source := t.TempDir()
	for name, args := range map[string][]string{
		"a tree of its own": {"-rootfs", tree, "-v", source + ":/data", "-read-only"},
		"the host's tree":   {"-v", source + ":/mnt", "-read-only"},
		"privileged":        {"-rootfs", tree, "-v", source + ":/data", "-privileged"},
	} {
		t.Run(name, func(t *testing.T) {
			note, after := filepath.Join(t.TempDir(), "before"), filepath.Join(t.TempDir(), "after")
			// The shell stays, in the mount namespace that is the host's here.
			c := n.Command("sh", words([]string{"-euc", `busybox mount --make-rshared /; cat /proc/self/mountinfo >` + note + `; "$0" "$@"; cat /proc/self/mountinfo >` + after,
				lab.MainBinary(t)}, args, []string{address, "cat"})...)
			c.SysProcAttr.Unshareflags = unix.CLONE_NEWNS
			h := &held{Cmd: c, address: address, stderr: new(bytes.Buffer)}
			h.start(t)
			before, err := os.ReadFile(note)
			if err != nil {
				t.Fatal(err)
			}
			noNewMount(t, "while it runs", string(before), readProc(t, h.main, "mountinfo"))
			h.end(t)
			then, err := os.ReadFile(after)
			if err != nil {
				t.Fatal(err)
			}
			noNewMount(t, "afterwards", string(before), string(then))
		})
	}
}

// exists tells whether the kernel has a file.
func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// hasFilesystem tells whether the kernel knows a kind of file system.
func hasFilesystem(t *testing.T, kind string) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		t.Fatal(err)
	}
	return slices.Contains(strings.Fields(string(b)), kind)
}

// What Docker hides and what it makes read-only.
var (
	hiddenPaths = []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
		"/sys/devices/virtual/powercap", "/sys/firmware",
	}
	fixedPaths  = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
	deviceNames = []string{"full", "null", "random", "tty", "urandom", "zero"}
)

// mountsAt picks from /proc/self/mountinfo: place, kind, what the mount takes
// from its files; of the mounts at a place the last one, which is seen.
func mountsAt(mountinfo string, match func(place string) bool) string {
	found := map[string]string{}
	for line := range strings.Lines(mountinfo) {
		head, tail, _ := strings.Cut(line, " - ")
		f, g := strings.Fields(head), strings.Fields(tail)
		if !match(f[4]) {
			continue
		}
		var flags []string
		for _, o := range strings.Split(f[5], ",") {
			if slices.Contains([]string{"ro", "rw", "nosuid", "nodev", "noexec"}, o) {
				flags = append(flags, o)
			}
		}
		found[f[4]] = strings.Join([]string{f[4], g[0], strings.Join(flags, ",")}, " ")
	}
	var list []string
	for _, l := range found {
		list = append(list, l)
	}
	return lines(list...)
}

// freshMounts is what a container has mounted of its own.
func freshMounts(t *testing.T) []string {
	t.Helper()
	const nothing = "nosuid,nodev,noexec"
	list := []string{
		"/proc proc rw," + nothing,
		"/sys sysfs ro," + nothing,
		"/dev tmpfs rw," + nothing,
		"/dev/pts devpts rw,nosuid,noexec",
		"/dev/shm tmpfs rw," + nothing,
		"/etc/hostname tmpfs rw," + nothing,
		"/etc/hosts tmpfs rw," + nothing,
		"/etc/resolv.conf tmpfs rw," + nothing,
	}
	if hasFilesystem(t, "cgroup2") {
		list = append(list, "/sys/fs/cgroup cgroup2 ro,"+nothing)
	}
	if hasFilesystem(t, "mqueue") {
		list = append(list, "/dev/mqueue mqueue rw,"+nothing)
	}
	for _, name := range deviceNames {
		list = append(list, "/dev/"+name+" tmpfs rw,nosuid,noexec")
	}
	for _, name := range fixedPaths {
		if exists(name) {
			list = append(list, name+" proc ro,"+nothing)
		}
	}
	for _, name := range hiddenPaths {
		st, err := os.Stat(name)
		switch {
		case err != nil:
		case st.IsDir():
			list = append(list, name+" tmpfs ro,"+nothing)
		default:
			list = append(list, name+" tmpfs rw,nosuid,noexec") // /dev/null
		}
	}
	return list
}

// In a tree of its own a container has what is mounted for it, and not a mount
// more.
func TestMountsOfOwnTree(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree := busyboxTree(t)
	got := says(t, n.Main("-rootfs", tree, address, "cat", "/proc/self/mountinfo"))
	root := ""
	for line := range strings.Lines(mountsAt(got, func(place string) bool { return place == "/" })) {
		root = strings.TrimSpace(line)
	}
	if f := strings.Fields(root); len(f) != 3 || !slices.Contains(strings.Split(f[2], ","), "nodev") {
		t.Errorf("/ is mounted as %q, want nodev", root)
	}
	differ(t, "mounts", mountsAt(got, func(string) bool { return true }), lines(append(freshMounts(t), root)...))
}

// On the host's tree it has the same.
func TestMountsOfHostsTree(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	var places []string
	for _, m := range freshMounts(t) {
		places = append(places, strings.Fields(m)[0])
	}
	fresh := func(place string) bool { return slices.Contains(places, place) }
	got := says(t, n.Main(address, "cat", "/proc/self/mountinfo"))
	differ(t, "mounts", mountsAt(got, fresh), lines(freshMounts(t)...))
}

// /dev has what it must have, and nothing else.
func TestDev(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree := busyboxTree(t)
	const look = `cd /dev; for f in *; do if [ -h $f ]; then echo $f "->" $(readlink $f); else stat -c "%n %F %a %t:%T %u:%g" $f; fi; done; ` +
		`for f in pts/*; do stat -c "%n %F %a %t:%T" $f; done; ls -A shm mqueue`
	want := lines(
		"fd -> /proc/self/fd",
		"full character special file 666 1:7 0:0",
		"mqueue directory 1777 0:0 0:0",
		"null character special file 666 1:3 0:0",
		"ptmx -> pts/ptmx",
		"pts directory 755 0:0 0:0",
		"pts/ptmx character special file 666 5:2",
		"random character special file 666 1:8 0:0",
		"shm directory 1777 0:0 0:0",
		"shm:", "", "mqueue:",
		"stderr -> /proc/self/fd/2",
		"stdin -> /proc/self/fd/0",
		"stdout -> /proc/self/fd/1",
		"tty character special file 666 5:0 0:0",
		"urandom character special file 666 1:9 0:0",
		"zero character special file 666 1:5 0:0",
	)
	if !hasFilesystem(t, "mqueue") {
		want = strings.Replace(want, "mqueue directory 1777", "mqueue directory 755", 1)
	}
	for name, args := range map[string][]string{
		"own tree": {"-rootfs", tree}, "host's tree": nil, "privileged": {"-rootfs", tree, "-privileged"},
		"an odd umask": {"-rootfs", tree},
	} {
		t.Run(name, func(t *testing.T) {
			c := n.Main(words(args, []string{address}, script(look))...)
			if name == "an odd umask" {
				c = n.Command("sh", words([]string{"-c", `umask 077; exec "$0" "$@"`, lab.MainBinary(t)}, args, []string{address}, script(look))...)
			}
			differ(t, "/dev", sorted(says(t, c)), want)
		})
	}
}

// The devices do what they are for, for root and for others.
func TestDevicesWork(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree := busyboxTree(t)
	const use = `
echo gone >/dev/null && wc -c </dev/null
head -c 100000 /dev/zero | tr -d '\0' | wc -c
head -c 100000 /dev/zero | wc -c
head -c 9 /dev/full | wc -c
(echo x >/dev/full) 2>&1 | grep -o 'No space left on device'
head -c 1000 /dev/urandom | wc -c
head -c 10 /dev/random | wc -c
[ "$(head -c 16 /dev/urandom | md5sum)" = "$(head -c 16 /dev/urandom | md5sum)" ] || echo differ
(: </dev/tty) 2>/dev/null || echo no terminal
echo in | cat /dev/stdin
echo out | (cat /dev/fd/0 | cat)
echo shared >/dev/shm/x && cat /dev/shm/x && rm /dev/shm/x
cp /bin/busybox /dev/shm/true && (/dev/shm/true) 2>&1 | grep -o 'Permission denied'
`
	const want = "0\n0\n100000\n9\nNo space left on device\n1000\n10\ndiffer\nno terminal\nin\nout\nshared\nPermission denied\n"
	for _, user := range []string{"0", "1000:1000"} {
		stdout, stderr, status := n.Main(words([]string{"-rootfs", tree, "-u", user, address}, script("exec 2>&1\n"+use))...).Result()
		if status != 0 || stderr != "" {
			t.Errorf("user %s: status %d, error %q", user, status, stderr)
		}
		differ(t, "user "+user, stdout, want)
	}
}

// Each container has a /dev/shm, message queues and System V shared memory of
// its own, which end with it.
func TestSharedMemoryIsOwn(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	h := hold(t, n, "172.16.0.31")
	says(t, n.Main("exec", "172.16.0.31", "sh", "-c", "echo x >/dev/shm/living; test ! -d /dev/mqueue || touch /dev/mqueue/living"))
	expect(t, n.Main("exec", "172.16.0.31", "ls", "/dev/shm"), 0, "living\n", "")
	expect(t, n.Main(address, "sh", "-c", "ls -A /dev/shm /dev/mqueue | grep living"), 1, "", "")
	if exists("/dev/shm/living") {
		t.Error("/dev/shm is the host's")
	}
	h.end(t)
	expect(t, n.Main("172.16.0.31", "sh", "-c", "ls -A /dev/shm /dev/mqueue | grep living"), 1, "", "")
}

// What the kernel can be set with can't be written, and what it tells of the
// host is empty. Opening for writing shows the first, and changes nothing.
func TestKernelIsOutOfReach(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree := busyboxTree(t)
	var knobs []string
	for _, name := range []string{
		"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/domainname", "/proc/sys/kernel/modprobe", "/proc/sys/vm/swappiness", "/proc/sys/net/ipv4/ip_forward",
		"/proc/sysrq-trigger", "/proc/irq/default_smp_affinity", "/sys/kernel/uevent_helper", "/sys/kernel/mm/transparent_hugepage/enabled",
		"/sys/class/net/lo/mtu", "/sys/power/state",
	} {
		if exists(name) {
			knobs = append(knobs, name)
		}
	}
	if len(knobs) < 5 {
		t.Fatalf("the kernel has only %q: too little to tell", knobs)
	}
	var hidden []string
	for _, name := range hiddenPaths {
		if exists(name) {
			hidden = append(hidden, name)
		}
	}
	if len(hidden) < 3 {
		t.Fatalf("the kernel has only %q to hide: too little to tell", hidden)
	}
	look := "for f in " + strings.Join(knobs, " ") + `; do (: >>$f) 2>/dev/null && echo $f can be written; done; ` +
		"for f in " + strings.Join(hidden, " ") + `; do if [ -d $f ]; then ls -A $f; else cat $f; fi; done; true`
	for name, args := range map[string][]string{
		"own tree":         {"-rootfs", tree},
		"host's tree":      nil,
		"all capabilities": {"-rootfs", tree, "-cap-add", "ALL"},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, n.Main(words(args, []string{address}, script(look))...), 0, "", "")
		})
	}
	// With -privileged, which promises none of it, the same look finds them:
	// it does find what there is to find.
	got := says(t, n.Main(words([]string{"-rootfs", tree, "-privileged", address}, script(look))...))
	for _, want := range []string{"/proc/sys/kernel/domainname", "/sys/class/net/lo/mtu"} {
		if !strings.Contains(got, want+" can be written\n") {
			t.Errorf("-privileged: %s can't be written", want)
		}
	}
}

// /sys and /proc show the container's own network and processes.
func TestKernelFilesAreOwn(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree := busyboxTree(t)
	expect(t, n.Main(words([]string{"-rootfs", tree, address}, script("ls /sys/class/net; ls -d /proc/[0-9]*; cat /proc/sys/net/ipv4/conf/veth1/arp_notify; ls /proc/sys/net/ipv4/conf | grep br0"))...),
		1, "lo\nveth1\n/proc/1\n/proc/2\n1\n", "")
}

// hostDevice finds a device that root can open on the host, and that is none
// of a container's: its node there, its kind and numbers for mknod.
func hostDevice(t *testing.T) (node, numbers string) {
	t.Helper()
	for _, d := range [][2]string{
		{"/dev/loop-control", "c 10 237"}, {"/dev/fuse", "c 10 229"}, {"/dev/net/tun", "c 10 200"}, {"/dev/kvm", "c 10 232"}, {"/dev/tty0", "c 4 0"},
	} {
		if f, err := os.Open(d[0]); err == nil {
			f.Close()
			return d[0], d[1]
		}
	}
	t.Fatal("the host has no device to try")
	return "", ""
}

// The host's devices (its disks, say) can't be used by a container, though its
// root may make their nodes, and though it may find some: on its root, on
// volumes, in its /dev. Only a volume that is a device gives it.
func TestHostDevices(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	node, numbers := hostDevice(t)
	found := t.TempDir()
	says(t, n.Command("busybox", words([]string{"mknod", found + "/dev"}, strings.Fields(numbers))...))
	tree := busyboxTree(t)
	says(t, n.Command("busybox", words([]string{"mknod", tree + "/found"}, strings.Fields(numbers))...))

	try := "for f in /found /made /dev/made /dev/shm/made /volume/dev /volume/made /tmp/made; do " +
		"case $f in *made) mknod $f " + numbers + " 2>/dev/null;; esac; (: <$f) 2>/dev/null && echo $f opens; done; (: </given) 2>/dev/null && echo /given opens; (: </dev/given) && echo /dev/given opens"
	volumes := []string{"-v", found + ":/volume", "-v", node + ":/given", "-v", node + ":/dev/given"}
	const given = "/given opens\n/dev/given opens\n"
	tmp := behind(t, n, "mkdir -p "+tree+"/tmp; busybox mount -t tmpfs tmpfs "+tree+"/tmp", words([]string{"-rootfs", tree}, volumes, []string{address}, script(try))...)
	expect(t, tmp, 0, given, "")
	expect(t, n.Main(words([]string{"-rootfs", tree, "-cap-add", "ALL"}, volumes, []string{address}, script(try))...), 0, given, "")
	expect(t, n.Main("-v", found+":/mnt", address, "sh", "-c", "(: </mnt/dev) 2>/dev/null || echo refused"), 0, "refused\n", "")

	// -privileged is for that, and shows that the look would find them.
	got := says(t, n.Main(words([]string{"-rootfs", tree, "-privileged"}, volumes, []string{address}, script(try))...))
	differ(t, "-privileged", got, "/found opens\n/made opens\n/dev/made opens\n/volume/dev opens\n/volume/made opens\n/tmp/made opens\n"+given)
}

// A node that a read of the host's own /dev would show is not there.
func TestHostDevIsHidden(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	node, _ := hostDevice(t)
	expect(t, n.Main(address, "sh", "-c", fmt.Sprintf("test -e %s || echo gone", node)), 0, "gone\n", "")
}
