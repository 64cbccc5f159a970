//go:build linux

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/lab"
)

// Kernels that are older, or seccomp filters of somebody else's around the
// runner, as far as they answer otherwise than this one: see the probe's
// "without".

// setnsFlags are those of an exec's setns(2).
const setnsFlags = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP

// insecure is that it waits for randomness fit for keys, or gives none.
var insecure = fmt.Sprint("getrandom/2:", unix.GRND_INSECURE, "=EINVAL")

var older = []struct {
	name    string
	without []string
}{
	{"Linux 5.8", []string{"mount_setattr=ENOSYS", "close_range=ENOSYS"}},
	{"Linux 5.6", []string{"mount_setattr=ENOSYS", "close_range=ENOSYS", fmt.Sprint("setns/1:=", setnsFlags, "=EINVAL"), "clone3=E2BIG"}},
	{"Linux 5.4", []string{"mount_setattr=ENOSYS", "close_range=ENOSYS", fmt.Sprint("setns/1:=", setnsFlags, "=EINVAL"), "clone3=EINVAL", "openat2=ENOSYS", insecure}},
	{"Linux 4.19", []string{
		"mount_setattr=ENOSYS", "close_range=ENOSYS", "clone3=ENOSYS", "openat2=ENOSYS", "pidfd_open=ENOSYS", "pidfd_send_signal=ENOSYS",
		fmt.Sprint("clone/0:", unix.CLONE_PIDFD, "=EINVAL"), // it takes the flag, and gives no pidfd
		insecure,
	}},
	{"a filter", []string{"mount_setattr=EPERM", "close_range=EPERM", "clone3=EPERM", "openat2=EPERM", "pidfd_open=EPERM", "pidfd_send_signal=EPERM"}},
	{"no extended answers", []string{
		fmt.Sprint("setsockopt/2:=", unix.NETLINK_EXT_ACK, "=ENOPROTOOPT"), fmt.Sprint("setsockopt/2:=", unix.NETLINK_CAP_ACK, "=ENOPROTOOPT"),
	}},
}

// lacking is ./main with arguments, on such a kernel.
func lacking(t *testing.T, n *lab.Node, without []string, args ...string) *lab.Cmd {
	t.Helper()
	return n.Command(lab.Probe(t), words([]string{"without"}, without, []string{"--", lab.MainBinary(t)}, args)...)
}

// onOlder runs a test for each of them.
func onOlder(t *testing.T, f func(t *testing.T, n *lab.Node, main func(args ...string) *lab.Cmd)) {
	t.Parallel()
	for _, o := range older {
		t.Run(o.name, func(t *testing.T) {
			n := lab.New(t).Host
			f(t, n, func(args ...string) *lab.Cmd {
				t.Helper()
				return lacking(t, n, o.without, args...)
			})
		})
	}
}

// A run with limits and ports, and an exec in it, are what they are elsewhere,
// and end so.
func TestOlderRun(t *testing.T) {
	onOlder(t, func(t *testing.T, n *lab.Node, main func(args ...string) *lab.Cmd) {
		h := holdCommand(t, n, main(words(allLimits(), published, []string{address, "cat"})...), address)
		dirs := groupsOf(t, h)
		for line := range strings.Lines(says(t, main("exec", address, "cat", "/proc/1/cgroup", "/proc/self/cgroup"))) {
			f := strings.SplitN(strings.TrimSpace(line), ":", 3)
			for _, l := range limits {
				if where := find(t, l.controller); (where.v2 && f[0] == "0" || slices.Contains(strings.Split(f[1], ","), l.controller)) && f[2] != "/" {
					t.Errorf("of its control groups it sees %s", line)
				}
			}
		}
		j := joinCommand(t, main("exec", address, "cat"), address)
		differ(t, "the exec's command", sameProcess(t, j.command), sameProcess(t, h.command))
		lab.Eventually(t, func() error { return hasNothingOpen(j.joiner) })
		j.end(t)
		h.end(t)
		idle(t, n)
		if err := goneAll(dirs); err != nil {
			t.Error(err)
		}
	})
}

// Of what the caller has open nothing comes in, be it much.
func TestOlderDescriptors(t *testing.T) {
	onOlder(t, func(t *testing.T, n *lab.Node, main func(args ...string) *lab.Cmd) {
		c := main(address, "sh", "-c", "for fd in /proc/self/fd/*; do [ ! -e $fd ] || echo ${fd##*/}; done")
		for range 150 {
			f, err := os.Open("/dev/null")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			c.ExtraFiles = append(c.ExtraFiles, f)
		}
		expect(t, c, 0, "0\n1\n2\n", "")
	})
}

// Whoever kills the runner has closed the ports, and ended the container.
func TestOlderKilled(t *testing.T) {
	onOlder(t, func(t *testing.T, n *lab.Node, main func(args ...string) *lab.Cmd) {
		h := holdCommand(t, n, main(words(allLimits(), published, []string{address, "cat"})...), address)
		dirs := groupsOf(t, h)
		kill(t, h.main)
		for _, condition := range []func() error{
			func() error { return ended(h.main, h.init, h.command, h.guardian) },
			func() error { return publishedAreFree(n) },
			func() error { return noVeth(n) },
			func() error { return noClaims(n) },
			func() error { return goneAll(dirs) },
		} {
			lab.Eventually(t, condition)
		}
		await(h.Cmd)
		idle(t, n)
	})
}

// What is mounted below a root or a volume is restricted like the rest.
func TestOlderRestricts(t *testing.T) {
	onOlder(t, func(t *testing.T, n *lab.Node, main func(args ...string) *lab.Cmd) {
		tree := busyboxTree(t, "etc/passwd", "al:x:1000:1001::/home/al:/bin/sh\n", "mnt/below/x", "", "data/x", "", "a b/x", "")
		volume := t.TempDir()
		put(t, volume+"/in it/x", "", 0o644)
		before := fmt.Sprintf(`cd %s
for dir in mnt/below "a b" "%s/in it"; do
	busybox mount -t tmpfs tmpfs "$dir"
	busybox mknod "$dir/null" c 1 3
done`, tree, volume)
		c := main(words([]string{"-rootfs", tree, "-read-only", "-v", volume + ":/data:ro", "-u", "0", address}, script(`
for dir in / /mnt/below "/a b" /data "/data/in it"; do
	(: >"$dir/new") 2>/dev/null && echo "$dir can be written"
	[ ! -e "$dir/null" ] || (: <"$dir/null") 2>/dev/null && [ -e "$dir/null" ] && echo "$dir has a device"
done
id -u al`))...)
		c.Args = words([]string{"sh", "-euc", before + "\n" + `exec "$0" "$@"`}, c.Args)
		sh := n.Command("sh", c.Args[1:]...)
		sh.SysProcAttr.Unshareflags = unix.CLONE_NEWNS
		expect(t, sh, 0, "1000\n", "")
	})
}

// Links in a tree lead nowhere but to other places there.
func TestOlderLinks(t *testing.T) {
	onOlder(t, func(t *testing.T, n *lab.Node, main func(args ...string) *lab.Cmd) {
		dir := t.TempDir()
		put(t, dir+"/passwd", "mallory:x:7:7::/:/bin/sh\n", 0o644)
		tree := busyboxTree(t, "real/passwd", "al:x:1000:1001::/home/al:/bin/sh\n")
		run := func(name string) *lab.Cmd {
			return main(words([]string{"-rootfs", tree, "-u", name, address}, script("id -u"))...)
		}
		for _, to := range []string{"/real", "../real", "../../../../real", "/bin/../real/../bin/.././real/"} {
			_ = os.Remove(tree + "/etc/passwd")
			_ = os.Remove(tree + "/etc")
			link(t, to, tree+"/etc")
			// What is mounted on is made, in the tree.
			expect(t, run("al"), 0, "1000\n", "")
		}
		if err := os.Remove(tree + "/real/passwd"); err != nil {
			t.Fatal(err)
		}
		for _, to := range []string{dir + "/passwd", "../../../../../../.." + dir + "/passwd", "../.." + filepath.Join("/", filepath.Base(dir)) + "/passwd"} {
			_ = os.Remove(tree + "/real/passwd")
			link(t, to, tree+"/real/passwd")
			expect(t, run("mallory"), 125, "", "main: -u mallory: the container's /etc/passwd has no user mallory\n")
		}
	})
}

// What has no substitute is refused with words: there is no other root to be
// had than by pivot_root, but where the kernel began with this one.
func TestOlderRefuses(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree := busyboxTree(t)
	before := n.Snapshot()
	expect(t, lacking(t, n, []string{"open_tree=ENOSYS"}, "-v", tree+":/mnt", address, "true"), 125, "",
		"main: -v "+tree+": it takes open_tree(2), which Linux has from 5.2 on\n")
	expect(t, lacking(t, n, []string{"pivot_root=EINVAL"}, "-network", "none", "-rootfs", tree, "true"), 125, "",
		"main: in the container: pivot_root . .: invalid argument\n")
	// Without a netfilter there is a network all the same.
	netfilter := fmt.Sprint("socket/2:=", unix.NETLINK_NETFILTER, "=EPROTONOSUPPORT")
	expect(t, lacking(t, n, []string{netfilter}, address, "true"), 125, "",
		"main: netlink socket: netfilter: protocol not supported (the kernel has no nfnetlink: CONFIG_NETFILTER_NETLINK, module nfnetlink)\n")
	same(t, n, before)
	expect(t, lacking(t, n, []string{netfilter}, "-nat=false", address, "echo", "hello"), 0, "hello\n", "")
}

// The narration is of what is done there.
func TestOlderNarrates(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	c := lacking(t, n, older[3].without, "-x", "-pids-limit", "50", address, "true")
	_, stderr, status := c.Result()
	if status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	for _, word := range []string{"clone3", "CLEAR_SIGHAND", "close_range", "mount_setattr", "veth00000000", "address 02:00:00:00:00:00"} {
		if strings.Contains(stderr, word) {
			t.Errorf("it tells of %s", word)
		}
	}
	for _, word := range []string{" clone(CLONE_NEWNS|", "rt_sigaction(1…64, SIG_DFL)", "[guardian if bad file descriptor] faccessat(", "[child] close(4)"} {
		if !strings.Contains(stderr, word) {
			t.Errorf("it does not tell of %q:\n%s", word, stderr)
		}
	}
}
