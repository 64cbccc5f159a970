//go:build linux

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// fake is a host in a directory, whose groups behave as the kernel's do as far
// as this package can tell: a directory has the files of the controllers that
// it is given, and what is written is checked a little and kept.
type fake struct {
	host
	t      testing.TB
	dir    string
	trees  []fakeTree
	mounts []string // lines of mountinfo
	wrote  []string // "FILE VALUE", relative to dir, in order
	lacks  []string // files that this kernel was not built with
}

type fakeTree struct {
	v2          bool
	top         string // relative to dir
	controllers []string
}

// controllerFiles is what a group has of each controller.
var controllerFiles = map[bool]map[string][]string{
	false: {
		"memory": {"memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.oom_control"},
		"cpu":    {"cpu.cfs_period_us", "cpu.cfs_quota_us"},
		"pids":   {"pids.max"},
		"cpuset": {"cpuset.cpus", "cpuset.mems"},
	},
	true: {
		"memory": {"memory.max", "memory.swap.max", "memory.events"},
		"cpu":    {"cpu.max"},
		"pids":   {"pids.max"},
	},
}

func newFake(t testing.TB) *fake {
	t.Helper()
	f := &fake{t: t, dir: t.TempDir()}
	f.host = host{
		proc:    filepath.Join(f.dir, "proc"),
		parent:  "container",
		mkdir:   f.makeDir,
		rmdir:   f.removeDir,
		write:   f.writeFile,
		visible: func(mount) bool { return true },
	}
	if err := os.MkdirAll(f.proc+"/self", 0o755); err != nil {
		t.Fatal(err)
	}
	f.put("proc/cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\n")
	f.mount("22 27 0:21 / /proc rw - proc proc rw")
	return f
}

// v1 mounts a hierarchy of version 1.
func (f *fake) v1(top string, controllers ...string) *fake {
	f.mount(fmt.Sprintf("35 31 0:%d / %s rw,relatime - cgroup cgroup rw,%s", 40+len(f.trees), filepath.Join(f.dir, top), strings.Join(controllers, ",")))
	return f.tree(fakeTree{false, top, controllers})
}

// v2 mounts the tree of version 2.
func (f *fake) v2(top string, controllers ...string) *fake {
	f.mount(fmt.Sprintf("30 23 0:%d / %s rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate", 40+len(f.trees), filepath.Join(f.dir, top)))
	return f.tree(fakeTree{true, top, controllers})
}

func (f *fake) tree(tree fakeTree) *fake {
	f.t.Helper()
	f.trees = append(f.trees, tree)
	path := filepath.Join(f.dir, tree.top)
	if err := os.MkdirAll(path, 0o755); err != nil {
		f.t.Fatal(err)
	}
	f.populate(path, tree.v2, tree.controllers)
	return f
}

func (f *fake) mount(line string) {
	f.mounts = append(f.mounts, line)
	f.put("proc/self/mountinfo", strings.Join(f.mounts, "\n")+"\n")
}

// cgroups is the lines of /proc/cgroups behind the first.
func (f *fake) cgroups(lines ...string) *fake {
	f.put("proc/cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"+strings.Join(lines, "\n")+"\n")
	return f
}

func (f *fake) put(file, content string) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, file), []byte(content), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fake) get(file string) string {
	f.t.Helper()
	s, err := read(filepath.Join(f.dir, file))
	if err != nil {
		f.t.Fatalf("%s: %v", file, err)
	}
	return s
}

// groups is every group below the tops of the trees.
func (f *fake) groups() []string {
	var found []string
	for _, tree := range f.trees {
		err := filepath.WalkDir(filepath.Join(f.dir, tree.top), func(path string, e os.DirEntry, err error) error {
			name, _ := filepath.Rel(f.dir, path)
			if err == nil && e.IsDir() && name != tree.top {
				found = append(found, name)
			}
			return err
		})
		if err != nil {
			f.t.Fatal(err)
		}
	}
	return found
}

// populate gives a directory the files of a group.
func (f *fake) populate(path string, v2 bool, controllers []string) {
	file := func(name, content string) {
		full := filepath.Join(path, name)
		if _, err := os.Stat(full); err == nil || slices.Contains(f.lacks, name) {
			return
		}
		if err := os.WriteFile(full, []byte(content+"\n"), 0o644); err != nil {
			f.t.Error(err)
		}
	}
	file("cgroup.procs", "")
	if v2 {
		file("cgroup.controllers", strings.Join(controllers, " "))
		file("cgroup.subtree_control", "")
	} else {
		file("tasks", "")
	}
	if f.isTop(path) {
		if !v2 && slices.Contains(controllers, "cpuset") {
			file("cpuset.cpus", "0-3")
			file("cpuset.mems", "0")
		}
		return
	}
	for _, c := range controllers {
		for _, name := range controllerFiles[v2][c] {
			file(name, "")
		}
	}
}

func (f *fake) isTop(path string) bool {
	return slices.ContainsFunc(f.trees, func(tree fakeTree) bool { return path == filepath.Join(f.dir, tree.top) })
}

func (f *fake) treeOf(path string) fakeTree {
	i := slices.IndexFunc(f.trees, func(tree fakeTree) bool {
		return strings.HasPrefix(path, filepath.Join(f.dir, tree.top)+"/")
	})
	if i < 0 {
		f.t.Fatalf("%s is in no tree", path)
	}
	return f.trees[i]
}

func (f *fake) makeDir(path string) error {
	if err := unix.Mkdir(path, 0o755); err != nil {
		return err
	}
	tree := f.treeOf(path)
	has := tree.controllers
	if tree.v2 {
		given, _ := read(filepath.Join(filepath.Dir(path), "cgroup.subtree_control"))
		has = strings.Fields(given)
	}
	f.populate(path, tree.v2, has)
	return nil
}

func (f *fake) removeDir(path string) error {
	if _, err := os.Stat(path); err != nil {
		return unix.ENOENT
	}
	procs, _ := read(filepath.Join(path, "cgroup.procs"))
	if procs != "" || len(subgroups(path)) > 0 {
		return unix.EBUSY
	}
	return os.RemoveAll(path)
}

func (f *fake) writeFile(path, value string) error {
	name, _ := filepath.Rel(f.dir, path)
	f.wrote = append(f.wrote, name+" "+value)
	dir, file := filepath.Split(path)
	dir = filepath.Clean(dir)
	if _, err := os.Stat(path); err != nil {
		return unix.ENOENT
	}
	if file != "cgroup.subtree_control" {
		return os.WriteFile(path, []byte(value+"\n"), 0o644)
	}
	has, _ := read(filepath.Join(dir, "cgroup.controllers"))
	given, _ := read(path)
	on := strings.Fields(given)
	for word := range strings.FieldsSeq(value) {
		c, plus := strings.CutPrefix(word, "+")
		if !plus || !slices.Contains(strings.Fields(has), c) {
			return unix.ENOENT
		}
		if procs, _ := read(filepath.Join(dir, "cgroup.procs")); procs != "" && !f.isTop(dir) {
			return unix.EBUSY
		}
		on = append(on, c)
	}
	if err := os.WriteFile(path, []byte(strings.Join(on, " ")+"\n"), 0o644); err != nil {
		return err
	}
	for _, sub := range subgroups(dir) {
		if err := os.WriteFile(filepath.Join(sub, "cgroup.controllers"), []byte(strings.Join(on, " ")+"\n"), 0o644); err != nil {
			return err
		}
		f.populate(sub, true, on)
	}
	return nil
}

// refused checks that an error is want, word for word, with the fake's
// directory left out.
func (f *fake) refused(err error, want string) {
	f.t.Helper()
	if err == nil {
		f.t.Fatalf("no error, want %q", want)
	}
	if got := strings.ReplaceAll(err.Error(), f.dir, ""); got != want {
		f.t.Errorf("the error is\n %s\nwant\n %s", got, want)
	}
}

// same compares lists of lines.
func same(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n %s\nwant\n %s", what, strings.Join(got, "\n "), strings.Join(want, "\n "))
	}
}

func isBusy(err error) bool { return errors.Is(err, unix.EBUSY) }
