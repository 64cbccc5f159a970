//go:build linux

package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/lab"
	"container/integration/need"
)

// hierarchy is where a controller is found: the directory that its control
// groups are in, and in which version.
type hierarchy struct {
	top, root string // where it is mounted, and what of it
	v2        bool
}

// find finds a controller's hierarchy among this process's mounts.
func find(t *testing.T, controller string) hierarchy {
	t.Helper()
	var v2 *hierarchy
	for line := range strings.Lines(readProc(t, os.Getpid(), "mountinfo")) {
		head, tail, _ := strings.Cut(strings.TrimSpace(line), " - ")
		f, g := strings.Fields(head), strings.Fields(tail)
		switch {
		case g[0] == "cgroup" && slices.Contains(strings.Split(g[2], ","), controller):
			return hierarchy{f[4], f[3], false}
		case g[0] == "cgroup2":
			list, _ := os.ReadFile(f[4] + "/cgroup.controllers")
			if slices.Contains(strings.Fields(string(list)), controller) {
				v2 = &hierarchy{f[4], f[3], true}
			}
		}
	}
	if v2 == nil {
		t.Fatalf("no mounted control group has the controller %s", controller)
	}
	return *v2
}

// group is the directory of the control group that a process is in.
func (h hierarchy) group(t *testing.T, controller string, pid int) string {
	t.Helper()
	for line := range strings.Lines(readProc(t, pid, "cgroup")) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if h.v2 && f[0] == "0" || !h.v2 && slices.Contains(strings.Split(f[1], ","), controller) {
			return filepath.Join(h.top, strings.TrimPrefix(f[2], h.root))
		}
	}
	t.Fatalf("process %d is in no control group of %s", pid, controller)
	return ""
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// field is a line "NAME VALUE" of a file.
func field(t *testing.T, name, key string) int {
	t.Helper()
	for line := range strings.Lines(readFile(t, name)) {
		if value, ok := strings.CutPrefix(line, key+" "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("%s has no %s", name, key)
	return 0
}

// limits are flags, and the files that the kernel then shows, per version.
var limits = []struct {
	flag, value, controller string
	v1, v2                  [][2]string
}{
	{"-memory", "64m", "memory", [][2]string{{"memory.limit_in_bytes", "67108864"}}, [][2]string{{"memory.max", "67108864"}}},
	{"-cpus", "0.25", "cpu", [][2]string{{"cpu.cfs_quota_us", "25000"}, {"cpu.cfs_period_us", "100000"}}, [][2]string{{"cpu.max", "25000 100000"}}},
	{"-pids-limit", "50", "pids", [][2]string{{"pids.max", "50"}}, [][2]string{{"pids.max", "50"}}},
}

// groupsOf is the directories of a container's control groups. All of its
// limits are set; nobody else is in them.
func groupsOf(t *testing.T, h *held) []string {
	t.Helper()
	var dirs []string
	for _, l := range limits {
		where := find(t, l.controller)
		dir := where.group(t, l.controller, h.init)
		if slices.Contains(dirs, dir) {
			continue
		}
		if dir == where.group(t, l.controller, os.Getpid()) {
			t.Fatalf("the container is in the test's own control group %s", dir)
		}
		dirs = append(dirs, dir)
	}
	return dirs
}

func allLimits() (flags []string) {
	for _, l := range limits {
		flags = append(flags, l.flag, l.value)
	}
	return flags
}

// goneAll is a condition: none of the directories is there.
func goneAll(dirs []string) error {
	for _, dir := range dirs {
		if exists(dir) {
			return fmt.Errorf("%s is there yet", dir)
		}
	}
	return nil
}

// Limits are set before the command runs, it and the first process are held by
// them, and the control groups are gone with the run.
func TestLimitsAreSet(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	h := hold(t, n, append(allLimits(), address)...)
	for _, l := range limits {
		where := find(t, l.controller)
		want := l.v1
		if where.v2 {
			want = l.v2
		}
		for _, pid := range []int{h.init, h.command} {
			dir := where.group(t, l.controller, pid)
			for _, w := range want {
				if got := readFile(t, filepath.Join(dir, w[0])); got != w[1] {
					t.Errorf("%s %s: %s of process %d is %s, want %s", l.flag, l.value, w[0], pid, got, w[1])
				}
			}
		}
		if where.group(t, l.controller, h.guardian) != where.group(t, l.controller, os.Getpid()) {
			t.Errorf("%s holds the guardian too", l.flag)
		}
	}
	dirs := groupsOf(t, h)
	h.end(t)
	if err := goneAll(dirs); err != nil {
		t.Error(err)
	}
	// One limit alone, and none, leave the other controllers' groups alone.
	h = hold(t, n, "-pids-limit", "50", "172.16.0.31")
	memory := find(t, "memory")
	if pids := find(t, "pids"); pids != memory && memory.group(t, "memory", h.init) != memory.group(t, "memory", os.Getpid()) {
		t.Error("-pids-limit has made a group of memory")
	}
	h.end(t)
}

// A container sees its own control group as the root.
func TestControlGroupNamespace(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	got := says(t, n.Main(append(allLimits(), address, "cat", "/proc/self/cgroup")...))
	for line := range strings.Lines(got) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		for _, l := range limits {
			if slices.Contains(strings.Split(f[1], ","), l.controller) && f[2] != "/" {
				t.Errorf("it is in %s of %s", f[2], l.controller)
			}
		}
	}
}

const outOfMemory = "main: out of memory: the kernel killed a process of the container, which had used up its -memory\n"

// hog takes memory without end.
const hog = `x=0123456789abcdef; while :; do x=$x$x; done`

// What takes more memory than it may is killed, and the run says why; nothing
// is said that is not so.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree := busyboxTree(t)
	run := func(command ...string) *lab.Cmd {
		return n.Main(words([]string{"-memory", "24m", "-rootfs", tree, address}, command)...)
	}
	expect(t, run("sh", "-c", hog), 137, "", outOfMemory)
	expect(t, run("sh", "-c", `sh -c '`+hog+`'; echo status $?`), 0, "status 137\n", "Killed\n")
	expect(t, run("sh", "-c", `sh -c '`+hog+`'; exit 4`), 4, "", "Killed\n")
	// Killed, but not for that; and enough for what is modest.
	expect(t, run("sh", "-c", "kill -KILL $$"), 137, "", "")
	expect(t, run("sh", "-c", "head -c 8000000 /dev/zero | wc -c"), 0, "8000000\n", "")
}

// A container can't have more processes than it is given, counted to the last:
// its first process and its command are among them. A bomb goes off inside,
// and is gone with the run.
func TestForkBomb(t *testing.T) {
	t.Parallel()
	need.Tool(t, "perl")
	n := lab.New(t).Host
	const count = `my $n = 0; while (defined(my $p = fork)) { if (!$p) { sleep 1000; exit } $n++; die "no limit" if $n > 100 } print "$n, then ", $!{EAGAIN} ? "EAGAIN" : $!, "\n"`
	expect(t, n.Main("-pids-limit", "20", address, "perl", "-e", count), 0, "18, then EAGAIN\n", "")
	expect(t, n.Main("-pids-limit", "2", address, "perl", "-e", count), 0, "0, then EAGAIN\n", "")

	h := hold(t, n, append(allLimits(), "172.16.0.31")...)
	where := find(t, "pids")
	dir := where.group(t, "pids", h.init)
	bomb := n.Main("exec", "172.16.0.31", "perl", "-e", `$SIG{ALRM} = "DEFAULT"; fork while 1`)
	if err := bomb.Start(); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, func() error {
		// Not pids.current, in which a fork counts before it is refused.
		if all := strings.Fields(readFile(t, filepath.Join(dir, "cgroup.procs"))); len(all) > 50 {
			t.Fatalf("%d processes, and 50 are allowed", len(all))
		}
		if refused := field(t, filepath.Join(dir, "pids.events"), "max"); refused < 100 {
			return fmt.Errorf("only %d forks have been refused", refused)
		}
		return nil
	})
	// The command is alive, and its end is the end of all.
	h.end(t)
	_ = bomb.Wait()
	if bomb.Status() != 137 {
		t.Errorf("the bomb's status is %d, want 137", bomb.Status())
	}
	lab.Eventually(t, func() error { return goneAll([]string{dir}) })
}

// Who has a hundredth of a CPU, and wants one, is made to wait. (It has used that
// up before the scheduler gives others their turn, however many these are.)
func TestCPULimit(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	c := n.Main("-cpus", "0.01", address, "sh", "-c", "echo ready; while :; do :; done")
	awaitLine(t, c, "ready")
	where := find(t, "cpu")
	dir := where.group(t, "cpu", theCommand(t, c.Process.Pid))
	lab.Eventually(t, func() error {
		if field(t, filepath.Join(dir, "cpu.stat"), "nr_throttled") == 0 {
			return errors.New("it has not been throttled")
		}
		return nil
	})
	if err := c.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	if c.Status() != 143 {
		t.Errorf("status %d, want 143", c.Status())
	}
	if err := goneAll([]string{dir}); err != nil {
		t.Error(err)
	}
}

// The control groups are gone after a SIGKILL of the runner, with nothing else
// run; and if the guardian is killed before it, after gc.
func TestGroupsAfterKill(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	slay := func(h *held, pid int) {
		t.Helper()
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		lab.Eventually(t, func() error { return ended(pid) })
	}
	h := hold(t, n, append(allLimits(), address)...)
	dirs := groupsOf(t, h)
	slay(h, h.main)
	lab.Eventually(t, func() error { return goneAll(dirs) })

	h = hold(t, n, append(allLimits(), "172.16.0.31")...)
	dirs = groupsOf(t, h)
	slay(h, h.guardian)
	slay(h, h.main)
	lab.Eventually(t, func() error { return ended(h.init, h.command) })
	succeed(t, n.Main("gc"))
	if err := goneAll(dirs); err != nil {
		t.Error(err)
	}

	// gc spares those that are in use: the next one's, and one's of another
	// network namespace, which it has no other way to know of.
	other := lab.New(t).Host
	a, b := hold(t, n, append(allLimits(), "172.16.0.32")...), hold(t, other, append(allLimits(), address)...)
	dirs = append(groupsOf(t, a), groupsOf(t, b)...)
	succeed(t, n.Main("gc"))
	for _, dir := range dirs {
		if !exists(dir) {
			t.Errorf("gc has removed %s, which is in use", dir)
		}
	}
	a.end(t)
	b.end(t)
	if err := goneAll(dirs); err != nil {
		t.Error(err)
	}
}

// A limit that nothing is there to keep is refused with one clear line, before
// anything is made.
func TestLimitWithoutController(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	before := n.Snapshot()
	for _, l := range limits {
		where := find(t, l.controller)
		c := behind(t, n, "busybox umount "+where.top, l.flag, l.value, address, "echo", "started")
		want := l.flag + ": the " + l.controller + " controller is "
		if where.v2 {
			want = l.flag + ": "
		}
		fails(t, c, 125, want)
		// The other limits are none the worse, and a run without any.
		others := []string{}
		for _, o := range limits {
			if find(t, o.controller).top != where.top {
				others = append(others, o.flag, o.value)
			}
		}
		same(t, n, before)
		if len(others) > 0 {
			expect(t, behind(t, n, "busybox umount "+where.top, append(others, "172.16.0.31", "echo", "started")...), 0, "started\n", "")
			lab.Eventually(t, func() error { return noVeth(n) })
			succeed(t, n.Main("down"))
			lab.Eventually(t, func() error {
				if n.Snapshot() != before {
					return errors.New("not what it was:\n" + difference(before, n.Snapshot()))
				}
				return nil
			})
		}
	}
}

func TestBadLimits(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	before := n.Snapshot()
	for flags, want := range map[string]string{
		"-memory lots":     `invalid value "lots" for flag -memory: `,
		"-memory 1k":       "-memory 1024: less than 512k, ",
		"-memory -1":       `invalid value "-1" for flag -memory: `,
		"-cpus none":       `invalid value "none" for flag -cpus: `,
		"-cpus 0.001":      `invalid value "0.001" for flag -cpus: `,
		"-cpus -1":         `invalid value "-1" for flag -cpus: `,
		"-pids-limit many": `invalid value "many" for flag -pids-limit: `,
		"-pids-limit 0":    `invalid value "0" for flag -pids-limit: `,
	} {
		fails(t, n.Main(append(strings.Fields(flags), address, "true")...), 125, want)
	}
	same(t, n, before)
}
