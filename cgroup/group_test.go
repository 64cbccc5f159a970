//go:build linux

package cgroup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// everything is a limit of each kind.
var everything = Limits{Memory: 64 << 20, CPUs: 1.5, PIDs: 100}

// made is a group that must come to be, and is let go when the test ends.
func (f *fake) made(name string, l Limits) *Group {
	f.t.Helper()
	g, err := f.make(name, l)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(g.Close)
	return g
}

// hybrid is a host with the controllers in version 1, and a tree of version 2
// beside them that holds another.
func hybrid(t *testing.T) *fake {
	return newFake(t).
		v1("cg/memory", "memory").
		v1("cg/cpu,cpuacct", "cpu", "cpuacct").
		v1("cg/pids", "pids").
		v1("cg/systemd", "xattr", "name=systemd").
		v2("cg/unified", "hugetlb")
}

func TestV2(t *testing.T) {
	f := newFake(t).v2("cg", "cpuset", "cpu", "io", "memory", "pids")
	g := f.made("veth1", everything)
	same(t, "what was written, in order", f.wrote, []string{
		"cg/cgroup.subtree_control +memory +cpu +pids",
		"cg/container/cgroup.subtree_control +memory +cpu +pids",
		"cg/container/veth1/memory.max 67108864",
		"cg/container/veth1/memory.swap.max 0",
		"cg/container/veth1/cpu.max 150000 100000",
		"cg/container/veth1/pids.max 100",
	})
	same(t, "groups", f.groups(), []string{"cg/container", "cg/container/veth1"})
	same(t, "Dirs", g.Dirs(), []string{f.dir + "/cg/container/veth1"})
	same(t, "Entrances", g.Entrances(false), []string{f.dir + "/cg/container/veth1/cgroup.procs"})
	same(t, "Entrances for one that was cloned into it", g.Entrances(true), nil)

	var fd, path unix.Stat_t
	if err := unix.Fstat(g.FD(), &fd); err != nil {
		t.Fatal(err)
	}
	if err := unix.Stat(g.Dirs()[0], &path); err != nil || fd.Ino != path.Ino {
		t.Errorf("FD is not the group's directory: inode %d, want %d (%v)", fd.Ino, path.Ino, err)
	}
}

func TestV2HandsDownOnlyWhatIsAskedForAndNotThereYet(t *testing.T) {
	f := newFake(t).v2("cg", "cpu", "memory", "pids")
	f.made("veth1", Limits{Memory: 1 << 20})
	f.wrote = nil
	f.made("veth2", Limits{Memory: 1 << 20, PIDs: 5})
	same(t, "what was written", f.wrote, []string{
		"cg/cgroup.subtree_control +pids",
		"cg/container/cgroup.subtree_control +pids",
		"cg/container/veth2/memory.max 1048576",
		"cg/container/veth2/memory.swap.max 0",
		"cg/container/veth2/pids.max 5",
	})
	f.wrote = nil
	f.made("veth3", Limits{PIDs: 5})
	same(t, "what was written when all was there", f.wrote, []string{"cg/container/veth3/pids.max 5"})
}

func TestV1(t *testing.T) {
	f := hybrid(t)
	g := f.made("veth1", everything)
	same(t, "what was written, in order", f.wrote, []string{
		"cg/memory/container/veth1/memory.limit_in_bytes 67108864",
		"cg/memory/container/veth1/memory.memsw.limit_in_bytes 67108864",
		"cg/cpu,cpuacct/container/veth1/cpu.cfs_period_us 100000",
		"cg/cpu,cpuacct/container/veth1/cpu.cfs_quota_us 150000",
		"cg/pids/container/veth1/pids.max 100",
	})
	same(t, "groups", f.groups(), []string{
		"cg/memory/container", "cg/memory/container/veth1",
		"cg/cpu,cpuacct/container", "cg/cpu,cpuacct/container/veth1",
		"cg/pids/container", "cg/pids/container/veth1",
	})
	if g.FD() != -1 {
		t.Errorf("FD is %d, where version 2 has no controller of ours", g.FD())
	}
	same(t, "Entrances", g.Entrances(false), []string{
		f.dir + "/cg/memory/container/veth1/tasks",
		f.dir + "/cg/cpu,cpuacct/container/veth1/tasks",
		f.dir + "/cg/pids/container/veth1/tasks",
	})
}

// Each controller is where it is, so one group may be of both versions.
func TestBothVersions(t *testing.T) {
	f := newFake(t).v1("cg/memory", "memory").v2("cg/unified", "cpu", "pids")
	g := f.made("veth1", everything)
	same(t, "Dirs", g.Dirs(), []string{f.dir + "/cg/memory/container/veth1", f.dir + "/cg/unified/container/veth1"})
	if g.FD() < 0 {
		t.Error("no FD")
	}
	same(t, "Entrances when cloned", g.Entrances(true), []string{f.dir + "/cg/memory/container/veth1/tasks"})
	same(t, "Entrances", g.Entrances(false), []string{
		f.dir + "/cg/memory/container/veth1/tasks", f.dir + "/cg/unified/container/veth1/cgroup.procs",
	})
}

// All controllers of version 1 in one mount, as "mount -t cgroup" makes it
// without options: one group, which is nothing without CPUs.
func TestV1AllInOne(t *testing.T) {
	f := newFake(t).v1("cg", "cpuset", "cpu", "memory", "pids")
	f.made("veth1", Limits{Memory: 1 << 20, PIDs: 5})
	same(t, "what was written, in order", f.wrote, []string{
		"cg/container/cpuset.cpus 0-3",
		"cg/container/cpuset.mems 0",
		"cg/container/veth1/cpuset.cpus 0-3",
		"cg/container/veth1/cpuset.mems 0",
		"cg/container/veth1/memory.limit_in_bytes 1048576",
		"cg/container/veth1/memory.memsw.limit_in_bytes 1048576",
		"cg/container/veth1/pids.max 5",
	})
	// What somebody has given to our parent directory stays.
	f.put("cg/container/cpuset.cpus", "1\n")
	f.wrote = nil
	f.made("veth2", Limits{PIDs: 5})
	same(t, "what was written the second time", f.wrote, []string{
		"cg/container/veth2/cpuset.cpus 0-3",
		"cg/container/veth2/cpuset.mems 0",
		"cg/container/veth2/pids.max 5",
	})
}

func TestNoLimitsNoGroup(t *testing.T) {
	f := newFake(t) // with no hierarchy either
	g := f.made("veth1", Limits{PIDs: -1})
	if g.FD() != -1 || len(g.Dirs()) != 0 || len(g.Entrances(false)) != 0 || g.OOMKilled() {
		t.Errorf("a group without limits is something: %+v", g)
	}
	if err := g.Remove(); err != nil {
		t.Error(err)
	}
}

func TestSwapIsLimitedWhereItCanBe(t *testing.T) {
	f := newFake(t).v2("cg", "memory")
	f.lacks = []string{"memory.swap.max"}
	f.made("veth1", Limits{Memory: 1 << 20})
	if got := f.get("cg/container/veth1/memory.max"); got != "1048576" {
		t.Errorf("memory.max is %q", got)
	}
}

func TestHugeNumberOfPIDs(t *testing.T) {
	f := newFake(t).v2("cg", "pids")
	f.made("veth1", Limits{PIDs: maxPIDs + 1})
	if got := f.get("cg/container/veth1/pids.max"); got != "max" {
		t.Errorf("pids.max is %q", got)
	}
}

// Another run has begun to hand the controllers down: the kernel says that they
// are, but is not through with the files. It has some of a controller's before
// others.
func TestFilesThatAreNotThereYet(t *testing.T) {
	for _, late := range [][]string{{"memory.max", "memory.swap.max", "pids.max"}, {"memory.swap.max"}, {"pids.max"}} {
		f := newFake(t).v2("cg", "memory", "pids")
		f.made("veth1", Limits{Memory: 64 << 20, PIDs: 100})
		f.mkdir = func(path string) error {
			err := f.makeDir(path)
			if err == nil {
				for _, file := range late {
					os.Remove(filepath.Join(path, file))
				}
			}
			return err
		}
		f.made("veth2", Limits{Memory: 64 << 20, PIDs: 100})
		for file, want := range map[string]string{"memory.max": "67108864", "memory.swap.max": "0", "pids.max": "100"} {
			if got := f.get("cg/container/veth2/" + file); got != want {
				t.Errorf("with %v late, %s is %q", late, file, got)
			}
		}
	}
}

func TestFileThatTheKernelLacks(t *testing.T) {
	f := hybrid(t)
	f.lacks = []string{"cpu.cfs_period_us"}
	_, err := f.make("veth1", everything)
	f.refused(err, "cgroup /cg/cpu,cpuacct/container/veth1: set cpu.cfs_period_us to 100000: no such file or directory (the kernel has no such limit: CONFIG_CFS_BANDWIDTH)")
	same(t, "groups that are left behind", f.groups(), nil)
}

// On a host of version 2 whose tree's top is not the root, as in a container
// with a cgroup namespace of its own, there may be processes in it.
func TestV2TopWithProcesses(t *testing.T) {
	f := newFake(t).v2("cg", "memory")
	f.write = func(path, value string) error {
		if path == f.dir+"/cg/cgroup.subtree_control" {
			return unix.EBUSY
		}
		return f.writeFile(path, value)
	}
	_, err := f.make("veth1", Limits{Memory: 1 << 20})
	f.refused(err, "cgroup /cg: write +memory to cgroup.subtree_control: device or resource busy (it has processes, and is not the root: move them to a group below it, or start main in the host's cgroup namespace)")
	same(t, "groups that are left behind", f.groups(), nil)
}

func TestNameIsTaken(t *testing.T) {
	f := newFake(t).v2("cg", "memory")
	f.made("veth1", Limits{Memory: 1 << 20})
	_, err := f.make("veth1", Limits{Memory: 2 << 20})
	f.refused(err, "cgroup /cg/container/veth1: mkdir: file exists (somebody else has a group of that name, or left it behind: main gc)")
	if got := f.get("cg/container/veth1/memory.max"); got != "1048576" {
		t.Errorf("the first one's memory.max is %q now", got)
	}
}

func TestReadOnly(t *testing.T) {
	f := newFake(t).v2("cg", "memory")
	f.mkdir = func(string) error { return unix.EROFS }
	_, err := f.make("veth1", Limits{Memory: 1 << 20})
	f.refused(err, "cgroup /cg/container: mkdir: read-only file system (the hierarchy is mounted read-only here)")
	f.rmdir = f.mkdir
	if err := f.sweep(); err != nil {
		t.Errorf("sweep, where nothing of ours is: %v", err)
	}
}

func TestNames(t *testing.T) {
	f := newFake(t).v2("cg", "memory")
	for _, name := range []string{"", ".", "..", "a/b", "../x", "a\nb", "a\x00b"} {
		if _, err := f.make(name, Limits{Memory: 1 << 20}); err == nil {
			t.Errorf("the name %q is taken", name)
		}
	}
	same(t, "groups", f.groups(), nil)
}

func TestMissingController(t *testing.T) {
	tests := []struct {
		name   string
		host   func(*fake)
		limits Limits
		want   string
	}{
		{
			"not built in, version 2",
			func(f *fake) { f.v2("cg", "cpu", "pids").cgroups("cpu 0 1 1", "pids 0 1 1") },
			Limits{Memory: 1 << 20},
			"-memory: the kernel has no memory controller here: CONFIG_MEMCG, or cgroup_disable=memory on its command line",
		},
		{
			"not built in, version 1",
			func(f *fake) { f.v1("cg/cpu", "cpu").cgroups("cpu 1 1 1") },
			Limits{PIDs: 1},
			"-pids-limit: no cgroup hierarchy with a pids controller is mounted here, nor does /proc/cgroups list one: CONFIG_CGROUP_PIDS, or mount -t cgroup2 cgroup2 /sys/fs/cgroup",
		},
		{
			"turned off",
			func(f *fake) { f.v2("cg", "cpu", "pids").cgroups("cpu 0 1 1", "memory 0 1 0") },
			Limits{Memory: 1 << 20},
			"-memory: the kernel's memory controller is turned off: cgroup_disable=memory on its command line",
		},
		{
			"in version 1, not mounted",
			func(f *fake) { f.v2("cg", "pids").cgroups("cpu 3 1 1", "memory 4 1 1") },
			Limits{CPUs: 1},
			"-cpus: the cpu controller is in a cgroup v1 hierarchy that is not mounted here: mount -t cgroup -o cpu cgroup DIR",
		},
		{
			"nothing is mounted",
			func(f *fake) { f.cgroups("cpu 0 1 1", "memory 0 1 1") },
			Limits{CPUs: 1},
			"-cpus: the cpu controller is not mounted here: mount -t cgroup2 cgroup2 /sys/fs/cgroup",
		},
		{
			"not handed down to where we are",
			func(f *fake) {
				f.v2("cg", "pids").cgroups("memory 0 1 1")
				f.put("cg/cgroup.events", "populated 1\n")
			},
			Limits{Memory: 1 << 20},
			"-memory: the memory controller is not handed down to the group at /cg: write +memory to cgroup.subtree_control of the groups above it",
		},
		{
			"no /proc/cgroups, as without CONFIG_CGROUPS",
			func(f *fake) { os.Remove(f.dir + "/proc/cgroups") },
			Limits{Memory: 1 << 20},
			"-memory: no cgroup hierarchy with a memory controller is mounted here, nor does /proc/cgroups list one: CONFIG_MEMCG, or mount -t cgroup2 cgroup2 /sys/fs/cgroup",
		},
		{
			"the last of several limits",
			func(f *fake) { f.v2("cg", "cpu", "memory") },
			everything,
			"-pids-limit: the kernel has no pids controller here: CONFIG_CGROUP_PIDS, or cgroup_disable=pids on its command line",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t)
			tt.host(f)
			_, err := f.make("veth1", tt.limits)
			f.refused(err, tt.want)
			same(t, "groups", f.groups(), nil)
			same(t, "what was written", f.wrote, nil)
		})
	}
}

// The hierarchy may be mounted more than once.
func TestBestMount(t *testing.T) {
	tests := []struct {
		name   string
		mounts []string // root, mount point and options
		want   string
	}{
		{"the writable one", []string{"/ /ro ro", "/ /rw rw"}, "/rw"},
		{"the one with more of the tree", []string{"/a/b /deep rw", "/ /top rw", "/a /mid rw"}, "/top"},
		{"one above the namespace's root", []string{"/ /own rw", "/.. /above rw"}, "/above"},
		{"a writable part, not the read-only whole", []string{"/ /ro ro", "/a /rw rw"}, "/rw"},
		{"the first of equals", []string{"/ /one rw", "/ /two rw"}, "/one"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t)
			for _, m := range tt.mounts {
				w := strings.Fields(m)
				f.mount("30 23 0:40 " + w[0] + " " + f.dir + w[1] + " " + w[2] + " - cgroup cgroup rw,pids")
			}
			got, err := f.where("pids")
			if want := "cgroup v1 at " + f.dir + tt.want; err != nil || got != want {
				t.Errorf("got %q, %v; want %q", got, err, want)
			}
		})
	}
}

// A mount that something else is mounted over is not there for us.
func TestHiddenMount(t *testing.T) {
	f := newFake(t).v1("cg", "pids")
	f.visible = func(mount) bool { return false }
	if got, err := f.where("pids"); err == nil {
		t.Errorf("found: %s", got)
	}
}

func TestWhere(t *testing.T) {
	f := newFake(t).v1("with space", "memory").v2("cg", "cpu")
	f.mounts[1] = strings.ReplaceAll(f.mounts[1], " space", `\040space`)
	f.mount("50 1 0:9 / /elsewhere rw - tmpfs tmpfs rw")
	for c, want := range map[string]string{
		"memory": "cgroup v1 at " + f.dir + "/with space",
		"cpu":    "cgroup v2 at " + f.dir + "/cg",
	} {
		if got, err := f.where(c); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", c, got, err, want)
		}
	}
	_, err := f.where("io")
	f.refused(err, `cgroup: controller "io": not one of memory, cpu, pids`)
}

func TestOOMKilled(t *testing.T) {
	tests := []struct {
		name, file, content string
		want                bool
	}{
		{"v2, no", "cg/container/veth1/memory.events", "low 0\nhigh 0\nmax 12\noom 3\noom_kill 0\noom_group_kill 0\n", false},
		{"v2, yes", "cg/container/veth1/memory.events", "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n", true},
		{"v1, no", "cg/container/veth1/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n", false},
		{"v1, yes", "cg/container/veth1/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", true},
		{"v1, before it told", "cg/container/veth1/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t)
			if strings.HasPrefix(tt.name, "v2") {
				f.v2("cg", "memory")
			} else {
				f.v1("cg", "memory")
			}
			g := f.made("veth1", Limits{Memory: 1 << 20})
			f.put(tt.file, tt.content)
			if got := g.OOMKilled(); got != tt.want {
				t.Errorf("got %v", got)
			}
			if err := g.Remove(); err != nil {
				t.Error(err)
			}
			if g.OOMKilled() {
				t.Error("it is still so without the group")
			}
		})
	}
}

func TestRemove(t *testing.T) {
	f := hybrid(t)
	g := f.made("veth1", everything)
	// One is gone already, and in another a process has made groups.
	if err := f.removeDir(g.Dirs()[0]); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"/a", "/a/b", "/c"} {
		if err := f.makeDir(g.Dirs()[1] + sub); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Remove(); err != nil {
		t.Error(err)
	}
	same(t, "groups that are left", f.groups(), []string{"cg/memory/container", "cg/cpu,cpuacct/container", "cg/pids/container"})
	if err := g.Remove(); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

func TestRemoveWaitsForWhatIsEnding(t *testing.T) {
	f := newFake(t).v2("cg", "pids")
	g := f.made("veth1", Limits{PIDs: 5})
	left := 3
	f.rmdir = func(path string) error {
		if left--; left > 0 {
			return unix.EBUSY
		}
		return f.removeDir(path)
	}
	g.host = f.host
	if err := g.Remove(); err != nil {
		t.Error(err)
	}
	same(t, "groups that are left", f.groups(), []string{"cg/container"})
}

func TestRemoveSaysWhoIsInIt(t *testing.T) {
	f := newFake(t).v2("cg", "pids")
	f.made("veth1", Limits{PIDs: 5})
	path := f.dir + "/cg/container/veth1"
	for procs, want := range map[string]string{
		"":                    "",
		"12\n":                " (process 12 is in it)",
		"12\n13\n":            " (processes 12, 13 are in it)",
		"1\n2\n3\n4\n5\n6\n7": " (7 processes are in it, the first is 1)",
	} {
		f.put("cg/container/veth1/cgroup.procs", procs)
		f.rmdir = func(string) error { return unix.EBUSY }
		err := f.remove(path, time.Millisecond)
		f.refused(err, "cgroup /cg/container/veth1: rmdir: device or resource busy"+want)
		if !isBusy(err) {
			t.Errorf("%v is not EBUSY", err)
		}
	}
}

func TestSweep(t *testing.T) {
	f := hybrid(t)
	f.made("live", everything) // its maker lives, and no process is in it yet
	f.made("stale", everything).Close()
	f.made("nested", Limits{PIDs: 5}).Close()
	f.made("running", Limits{PIDs: 5}).Close() // its maker was killed, its process lives
	f.made("below", Limits{PIDs: 5}).Close()   // and that one's has gone into a group below
	for _, sub := range []string{"nested/a", "nested/a/b", "running/empty", "below/sub"} {
		if err := f.makeDir(filepath.Join(f.dir, "cg/pids/container", sub)); err != nil {
			t.Fatal(err)
		}
	}
	f.put("cg/pids/container/running/cgroup.procs", "12\n")
	f.put("cg/pids/container/below/sub/cgroup.procs", "13\n")
	f.put("cg/pids/not-ours", "")
	if err := f.makeDir(f.dir + "/cg/pids/other"); err != nil {
		t.Fatal(err)
	}
	if err := f.sweep(); err != nil {
		t.Error(err)
	}
	same(t, "groups that are left", f.groups(), []string{
		"cg/memory/container", "cg/memory/container/live",
		"cg/cpu,cpuacct/container", "cg/cpu,cpuacct/container/live",
		"cg/pids/container", "cg/pids/container/below", "cg/pids/container/below/sub",
		"cg/pids/container/live", "cg/pids/container/running", "cg/pids/container/running/empty",
		"cg/pids/other",
	})
}

func TestSweepTakesTheParentToo(t *testing.T) {
	f := newFake(t).v2("cg", "pids")
	f.made("veth1", Limits{PIDs: 5}).Close()
	for range 2 { // the second time there is nothing to do
		if err := f.sweep(); err != nil {
			t.Error(err)
		}
		same(t, "groups that are left", f.groups(), nil)
	}
}

// A Sweep may come between any two steps of New.
func TestSweepWhileMaking(t *testing.T) {
	f := newFake(t).v2("cg", "pids")
	sweeps := 0
	f.mkdir = func(path string) error {
		err := f.makeDir(path)
		if sweeps < 5 {
			sweeps++
			if err := f.sweep(); err != nil {
				t.Error(err)
			}
		}
		return err
	}
	f.made("veth1", Limits{PIDs: 5})
	if sweeps != 5 {
		t.Errorf("%d sweeps", sweeps)
	}
	if got := f.get("cg/container/veth1/pids.max"); got != "5" {
		t.Errorf("pids.max is %q", got)
	}
}

func TestOf(t *testing.T) {
	f := newFake(t).v1("cg/memory", "memory").v1("cg/cpu,cpuacct", "cpu", "cpuacct").v2("cg/unified", "pids")
	f.made("veth1", everything)
	if err := os.Mkdir(f.proc+"/12", 0o755); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, content string
		want          []string
	}{
		{"all", "9:name=systemd:/container/veth1\n4:memory:/container/veth1\n1:cpu,cpuacct:/container/veth1\n0::/container/veth1\n", []string{
			"/cg/memory/container/veth1", "/cg/cpu,cpuacct/container/veth1", "/cg/unified/container/veth1",
		}},
		{"some", "4:memory:/\n1:cpu,cpuacct:/user.slice\n0::/container/veth1\n", []string{"/cg/unified/container/veth1"}},
		{"none", "4:memory:/container\n0::/containers/veth1\n", nil},
		{"another's of that name", "4:memory:/docker/container/veth1\n0::/../container/veth1\n", nil},
		{"out of the tree", "4:memory:/container/../x\n0::/container/\n", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f.put("proc/12/cgroup", tt.content)
			g, err := f.of(12)
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			got := g.Dirs()
			for i := range got {
				got[i] = strings.TrimPrefix(got[i], f.dir)
			}
			same(t, "Dirs", got, tt.want)
		})
	}

	f.put("proc/12/cgroup", "0::/container/gone\n")
	_, err := f.of(12)
	f.refused(err, "cgroup /cg/unified/container/gone: open: no such file or directory (has process 12 ended?)")
	f.put("proc/12/cgroup", "what\n")
	_, err = f.of(12)
	f.refused(err, `/proc/12/cgroup: malformed line "what"`)
	_, err = f.of(13)
	f.refused(err, "read /proc/13/cgroup: no such file or directory")
}

// A group's name in /proc is counted from the reader's cgroup namespace, and so
// is the root of a mount.
func TestWithin(t *testing.T) {
	tests := []struct {
		root, group, want string
	}{
		{"/", "/container/veth1", "veth1"},
		{"/", "/container/veth1/below", "veth1/below"},
		{"/docker/abc", "/docker/abc/container/veth1", "veth1"},
		{"/docker/abc", "/docker/abcd/container/veth1", ""},
		{"/docker/abc", "/container/veth1", ""},
		{"/..", "/../container/veth1", "veth1"},
		{"/..", "/container/veth1", ""},
		{"/", "/container/veth1 (deleted)", "veth1 (deleted)"},
	}
	for _, tt := range tests {
		got, ok := membership{group: tt.group}.within(&hierarchy{v2: true, root: tt.root}, "container")
		if got != tt.want && ok {
			t.Errorf("%s in %s: %q, want %q", tt.group, tt.root, got, tt.want)
		}
		if ok != (tt.want != "") {
			t.Errorf("%s in %s: %v", tt.group, tt.root, ok)
		}
	}
}

func TestScript(t *testing.T) {
	f := newFake(t).v1("cg", "cpuset", "memory").v2("it's", "pids")
	before, inside, after, err := f.script("veth1", Limits{Memory: 1 << 20, PIDs: 5})
	if err != nil {
		t.Fatal(err)
	}
	plain := func(lines []string) []string {
		for i := range lines {
			lines[i] = strings.ReplaceAll(lines[i], f.dir, "")
		}
		return lines
	}
	same(t, "before", plain(before), []string{
		`mkdir -p /cg/container/veth1`,
		`cat /cg/cpuset.cpus > /cg/container/cpuset.cpus`,
		`cat /cg/cpuset.cpus > /cg/container/veth1/cpuset.cpus`,
		`cat /cg/cpuset.mems > /cg/container/cpuset.mems`,
		`cat /cg/cpuset.mems > /cg/container/veth1/cpuset.mems`,
		`echo 1048576 > /cg/container/veth1/memory.limit_in_bytes`,
		`[ ! -e /cg/container/veth1/memory.memsw.limit_in_bytes ] || echo 1048576 > /cg/container/veth1/memory.memsw.limit_in_bytes`,
		`mkdir -p '/it'\''s/container/veth1'`,
		`echo +pids > '/it'\''s/cgroup.subtree_control'`,
		`echo +pids > '/it'\''s/container/cgroup.subtree_control'`,
		`echo 5 > '/it'\''s/container/veth1/pids.max'`,
	})
	same(t, "inside", plain(inside), []string{`echo $$ > /cg/container/veth1/cgroup.procs`, `echo $$ > '/it'\''s/container/veth1/cgroup.procs'`})
	same(t, "after", plain(after), []string{`rmdir /cg/container/veth1`, `rmdir '/it'\''s/container/veth1'`})
	same(t, "groups", f.groups(), nil)
}
