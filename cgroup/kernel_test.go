//go:build linux

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// dirWith is the group's directory where a controller is.
func dirWith(t testing.TB, g *Group, c controller) *dir {
	t.Helper()
	for _, d := range g.dirs {
		if d.has(c.name) {
			return d
		}
	}
	t.Fatalf("no %s in %v", c.name, g.Dirs())
	return nil
}

// in checks that a process is in the group, in every hierarchy, or in none of
// ours if there is no group.
func in(t testing.TB, h host, pid int, g *Group) {
	t.Helper()
	if got, want := membershipOf(t, h, pid), sorted(g); !slices.Equal(got, want) {
		t.Errorf("process %d is in %v, want %v", pid, got, want)
	}
}

func membershipOf(t testing.TB, h host, pid int) []string {
	t.Helper()
	g, err := h.of(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	return sorted(g)
}

func sorted(g *Group) []string {
	if g == nil {
		return nil
	}
	dirs := g.Dirs()
	slices.Sort(dirs)
	return dirs
}

func TestKernelValues(t *testing.T) {
	h := realHost(t)
	g := newGroup(t, h, "values", everything)
	want := map[string]string{"pids.max": "100"}
	if d := dirWith(t, g, memory); d.v2 {
		want["memory.max"] = "67108864"
	} else {
		want["memory.limit_in_bytes"] = "67108864"
	}
	if d := dirWith(t, g, cpu); d.v2 {
		want["cpu.max"] = "150000 100000"
	} else {
		want["cpu.cfs_quota_us"] = "150000"
		want["cpu.cfs_period_us"] = "100000"
	}
	swap := map[string]string{"memory.swap.max": "0", "memory.memsw.limit_in_bytes": "67108864"}
	for _, d := range g.dirs {
		t.Logf("%s: %s", d.version(), d.path)
		for file, value := range want {
			if got, err := read(filepath.Join(d.path, file)); err == nil {
				delete(want, file)
				if got != value {
					t.Errorf("%s: %s is %q, want %q", d.path, file, got, value)
				}
			}
		}
		for file, value := range swap {
			if got, err := read(filepath.Join(d.path, file)); err == nil && got != value {
				t.Errorf("%s: %s is %q, want %q", d.path, file, got, value)
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("not found: %v", want)
	}
}

func TestKernelMemory(t *testing.T) {
	h := realHost(t)
	g := newGroup(t, h, "memory", Limits{Memory: 64 << 20})
	p := start(t, h, g, "hog")
	in(t, h, p.pid(), g)
	if g.OOMKilled() {
		t.Error("OOMKilled before anything happened")
	}
	p.run()
	if status := p.end(); !status.Signaled() || status.Signal() != unix.SIGKILL {
		t.Errorf("the memory hog ended with the wait status %#x, not by SIGKILL", status)
	}
	if !g.OOMKilled() {
		t.Error("not OOMKilled")
	}
}

func TestKernelMemoryThatIsEnough(t *testing.T) {
	h := realHost(t)
	g := newGroup(t, h, "memory", Limits{Memory: 512 << 20})
	p := start(t, h, g, "hog")
	p.run()
	if got := p.line(); got != "survived" {
		t.Errorf("the hog says %q", got)
	}
	if status := p.end(); status != 0 {
		t.Errorf("it ended with the wait status %#x", status)
	}
	if g.OOMKilled() {
		t.Error("OOMKilled")
	}
}

func TestKernelLeastMemory(t *testing.T) {
	h := realHost(t)
	g := newGroup(t, h, "memory", Limits{Memory: minMemory})
	pid := forked(t, entrances(t, g.Entrances(false)))
	eventually(t, "a process is in the group", func() bool { return len(membershipOf(t, h, pid)) > 0 })
}

func TestKernelPIDs(t *testing.T) {
	h := realHost(t)
	const most = 64
	g := newGroup(t, h, "pids", Limits{PIDs: most})
	p := start(t, h, g, "forks")
	p.run()
	var made int
	var refused bool
	if _, err := fmt.Sscan(p.line(), &made, &refused); err != nil {
		t.Fatal(err)
	}
	if made >= most || made < most/2 || !refused {
		t.Errorf("it made %d processes of 300, with a limit of %d; refused: %v", made, most, refused)
	}
	if n := number(t, dirWith(t, g, pids).path, "pids.events", "max"); n == 0 {
		t.Error("the kernel counts no fork that it refused")
	}
	if status := p.end(); status != 0 {
		t.Errorf("it ended with the wait status %#x", status)
	}
}

func TestKernelCPU(t *testing.T) {
	h := realHost(t)
	// Less than the scheduler gives at a time, however many want some.
	g := newGroup(t, h, "cpu", Limits{CPUs: 0.01})
	p := start(t, h, g, "burn")
	p.run()
	dir := dirWith(t, g, cpu).path
	eventually(t, "a process that wants a whole CPU waits", func() bool {
		return number(t, dir, "cpu.stat", "nr_throttled") >= 3
	})
	p.kill()
}

// forked is a process that enters by files, and is ended when the test does.
func forked(t testing.TB, files []entrance) (pid int) {
	t.Helper()
	// It dies with this thread, so that should live as long as the test.
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	pid, errno := forkAndEnter(files)
	if errno != 0 {
		t.Fatal(errno)
	}
	t.Cleanup(func() {
		var status unix.WaitStatus
		_ = unix.Kill(pid, unix.SIGKILL)
		_ = ignoringEINTR(func() error { _, err := unix.Wait4(pid, &status, 0, nil); return err })
		if status.Exited() {
			t.Errorf("the process could not enter: %v", unix.Errno(status.ExitStatus()))
		}
	})
	return pid
}

// A process enters by itself, and what it costs is told.
func TestKernelEntrances(t *testing.T) {
	h := realHost(t)
	g := newGroup(t, h, "enter", everything)
	began := time.Now()
	pid := forked(t, entrances(t, g.Entrances(false)))
	eventually(t, "the process is in the group", func() bool {
		return slices.Equal(membershipOf(t, h, pid), sorted(g))
	})
	t.Logf("fork and enter: %v", time.Since(began))
	in(t, h, forked(t, nil), nil)
}

// Another process joins, as for "main exec".
func TestKernelOf(t *testing.T) {
	h := realHost(t)
	g := newGroup(t, h, "of", everything)
	first := start(t, h, g, "sleep")
	joined, err := h.of(first.pid())
	if err != nil {
		t.Fatal(err)
	}
	defer joined.Close()
	if (joined.FD() >= 0) != (g.FD() >= 0) {
		t.Errorf("FD is %d, and the group's own %d", joined.FD(), g.FD())
	}
	second := start(t, h, joined, "sleep")
	in(t, h, second.pid(), g)
	third := forked(t, entrances(t, joined.Entrances(false)))
	eventually(t, "the third is in the group too", func() bool {
		return slices.Equal(membershipOf(t, h, third), sorted(g))
	})

	// To join a process that has no limits is nothing to do.
	none, err := h.of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer none.Close()
	in(t, h, os.Getpid(), nil)
	fourth := start(t, h, none, "sleep")
	in(t, h, fourth.pid(), nil)
}

func TestKernelRemove(t *testing.T) {
	h := realHost(t)
	g := newGroup(t, h, "remove", everything)
	dirs := g.Dirs()
	p := start(t, h, g, "sleep")
	in(t, h, p.pid(), g)
	for _, dir := range dirs {
		err := h.remove(dir, 0)
		if !isBusy(err) || !strings.Contains(err.Error(), fmt.Sprintf("(process %d is in it)", p.pid())) {
			t.Errorf("with process %d in it: %v", p.pid(), err)
		}
	}
	// Killed, and not waited for: the group is busy for a while yet.
	if err := unix.Kill(p.pid(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// And a group that the container has made for itself.
	if err := os.MkdirAll(dirs[0]+"/a/b", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := g.Remove(); err != nil {
		t.Error(err)
	}
	for _, dir := range dirs {
		if _, err := os.Stat(dir); !errors.Is(err, unix.ENOENT) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	p.end()
}

// How soon after a container's end its group can go is the kernel's affair: it
// is told, for the kernels that this runs on, and Remove copes with all of it.
// One who waits for the end by a pidfd and removes Dirs by himself depends on
// it.
func TestKernelRemoveAtOnce(t *testing.T) {
	h := realHost(t)
	const tries = 10
	dead, reaped := 0, 0
	for i := range tries {
		g := newGroup(t, h, fmt.Sprintf("at-once-%d", i), Limits{PIDs: 100})
		dir := g.Dirs()[0]
		p := start(t, h, g, "crowd")
		pidfd, err := unix.PidfdOpen(p.pid(), 0)
		if err != nil {
			t.Fatal(err)
		}
		p.run()
		if got := p.line(); got != "30" {
			t.Fatalf("the crowd is %s", got)
		}
		if err := unix.Kill(p.pid(), unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		poll := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		if err := ignoringEINTR(func() error { _, err := unix.Poll(poll, -1); return err }); err != nil {
			t.Fatal(err)
		}
		if isBusy(h.rmdir(dir)) {
			dead++
		}
		p.end()
		if isBusy(h.rmdir(dir)) {
			reaped++
		}
		_ = unix.Close(pidfd)
		if err := g.Remove(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("of %d groups %d were busy when the first process was dead, %d when it had been waited for", tries, dead, reaped)
}

func TestKernelSweep(t *testing.T) {
	h := realHost(t)
	live := newGroup(t, h, "live", everything) // no process is in it yet
	running := newGroup(t, h, "running", everything)
	runningDirs := running.Dirs()
	p := start(t, h, running, "sleep")
	running.Close() // as if its maker had been killed

	maker := start(t, h, nil, "make")
	maker.run()
	if got := maker.line(); got != "made" {
		t.Fatalf("the maker says %q", got)
	}
	made := filepath.Join(filepath.Dir(dirWith(t, live, pids).path), "made")

	exist := func(want bool, dirs ...string) {
		t.Helper()
		for _, dir := range dirs {
			if _, err := os.Stat(dir); (err == nil) != want {
				t.Errorf("%s: %v", dir, err)
			}
		}
	}
	sweep := func() {
		t.Helper()
		if err := h.sweep(); err != nil {
			t.Error(err)
		}
	}
	sweep()
	exist(true, live.Dirs()...)
	exist(true, runningDirs...)
	exist(true, made)

	maker.kill()
	sweep()
	exist(true, live.Dirs()...)
	exist(true, runningDirs...)
	exist(false, made)

	p.kill()
	eventually(t, "the group of an ended process is swept", func() bool {
		sweep()
		_, err := os.Stat(runningDirs[0])
		return err != nil
	})
	exist(true, live.Dirs()...)
}

// Many make groups while others sweep: nobody's group is taken away, and in the
// end there is none.
func TestKernelManyAtOnce(t *testing.T) {
	h := realHost(t)
	var makers, sweepers sync.WaitGroup
	done := make(chan struct{})
	for range 3 {
		sweepers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := h.sweep(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 16 {
		makers.Go(func() {
			for n := range 10 {
				g, err := h.make(fmt.Sprintf("many-%d-%d", i, n), everything)
				if err != nil {
					t.Error(err)
					continue
				}
				if got, err := read(filepath.Join(dirWith(t, g, pids).path, "pids.max")); err != nil || got != "100" {
					t.Errorf("pids.max is %q: %v", got, err)
				}
				if err := g.Remove(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	makers.Wait()
	close(done)
	sweepers.Wait()
}

// The hierarchy is found where it is mounted, be it elsewhere and under a name
// that has to be escaped, and not where something covers it.
func TestKernelMountElsewhere(t *testing.T) {
	h := realHost(t)
	p := start(t, h, nil, "covers")
	p.run()
	if got := p.line(); got != "done" {
		t.Error(got)
	}
}

// Where the controllers of ours are in version 1, version 2 may still have
// another one. What this package does in version 2 is then tried with that: the
// kernel makes no difference between controllers.
func TestKernelV2Beside(t *testing.T) {
	h := realHost(t)
	hs, err := h.hierarchies()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(hs, func(tree *hierarchy) bool { return tree.v2 })
	if i < 0 {
		t.Skip("version 2 is not mounted here")
	}
	tree := hs[i]
	for _, c := range controllers {
		if tree.has(c.name) {
			t.Skipf("version 2 has the %s controller here, and the other tests are of it", c.name)
		}
	}
	const other = "hugetlb"
	if !tree.has(other) {
		t.Skipf("version 2 has no controller here to try: %v", tree.controllers)
	}
	sizes, err := filepath.Glob("/sys/kernel/mm/hugepages/hugepages-2048kB")
	if err != nil || len(sizes) == 0 {
		t.Skip("no huge pages of 2 MB here")
	}

	given, err := read(filepath.Join(tree.top, "cgroup.subtree_control"))
	if err != nil {
		t.Fatal(err)
	}
	d := h.dir(tree, "beside")
	d.enable = []string{other}
	d.settings = []setting{{"hugetlb.2MB.max", "4194304", "CONFIG_CGROUP_HUGETLB"}, {"no.such.file", "1", ""}}
	g, err := h.carryOut([]*dir{d})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Remove(); err != nil {
			t.Error(err)
		}
		if err := h.rmdir(d.parent); err != nil {
			t.Error(err)
		}
		if !slices.Contains(strings.Fields(given), other) {
			if err := write(filepath.Join(tree.top, "cgroup.subtree_control"), "-"+other); err != nil {
				t.Error(err)
			}
		}
	})
	if n := number(t, d.path, "hugetlb.2MB.max", ""); n != 4194304 {
		t.Errorf("hugetlb.2MB.max is %d", n)
	}

	inGroup := func(pid int) bool {
		list, err := read(fmt.Sprintf("/proc/%d/cgroup", pid))
		return err == nil && strings.Contains(list+"\n", "0::/"+h.parent+"/beside\n")
	}
	cloned := start(t, h, g, "sleep") // by CLONE_INTO_CGROUP
	if !inGroup(cloned.pid()) {
		t.Error("cloned into FD, it is not in the group")
	}
	entered := forked(t, entrances(t, g.Entrances(false)))
	eventually(t, "a process that enters is in the group", func() bool { return inGroup(entered) })
	added := start(t, h, nil, "sleep")
	add(t, g, added.pid(), false)
	if !inGroup(added.pid()) {
		t.Error("added, it is not in the group")
	}
	// A group with processes can't hand down its controllers, and says why.
	err = h.handDownFrom(d.path, []string{other}, false)
	if !isBusy(err) || !strings.Contains(err.Error(), "it has processes, and is not the root") {
		t.Errorf("handing down from a group with processes: %v", err)
	}
	cloned.kill()
	added.kill()
}
