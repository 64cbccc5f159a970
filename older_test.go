//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/need"
)

// A step that succeeds leaves out those that stand in for it; one that fails with
// one of the errors has them done.
func TestOrElse(t *testing.T) {
	bad := call("read from nowhere", unix.SYS_READ, ^uintptr(0), 0, 0)
	good := call("getpid", unix.SYS_GETPID)
	end := func(status uintptr) step { return call("end", unix.SYS_EXIT_GROUP, status) }
	for _, c := range []struct {
		name   string
		steps  []step
		status int
		err    string
	}{
		{"success", append(good.orElse([]step{end(1), end(2)}, unix.EBADF), end(3)), 3, ""},
		{"success at the end", good.orElse([]step{end(1), end(2)}, unix.EBADF), 0, ""},
		{"another stands in", append(bad.orElse([]step{good, end(2)}, unix.EBADF), end(3)), 2, ""},
		{"others stand in", append(bad.orElse([]step{good, good}, unix.ENOENT, unix.EBADF), end(3)), 3, ""},
		{"another error", append(bad.orElse([]step{end(1)}, unix.ENOENT), end(3)), statusSetup, "read from nowhere: bad file descriptor"},
		{"what stands in fails", append(bad.orElse([]step{good, call("write nowhere", unix.SYS_WRITE, ^uintptr(0), 0, 0)}, unix.EBADF), end(3)), statusSetup, "write nowhere: bad file descriptor"},
		{"one of two", append(good.orElse([]step{end(1)}, unix.EBADF), bad.orElse([]step{end(2)}, unix.EBADF)...), 2, ""},
	} {
		p, report, status := perform(t, 0, func(p *program) { p.setUp = c.steps })
		got := ""
		if report != nil {
			got = p.failed(*report).Error()
		}
		if got != c.err || status.ExitStatus() != c.status {
			t.Errorf("%s: status %d, error %q; want %d and %q", c.name, status.ExitStatus(), got, c.status, c.err)
		}
	}
}

// What a child that clone(2) made does before the rest is told apart too.
func TestPlainSteps(t *testing.T) {
	for name, flags := range clones {
		p, report, status := perform(t, flags, func(p *program) {
			p.instead = []step{call("read from nowhere", unix.SYS_READ, ^uintptr(0), 0, 0)}
		})
		if name == "clone3" {
			if report != nil || status.ExitStatus() != 0 {
				t.Errorf("%s: report %v, status %#x", name, report, status)
			}
			continue
		}
		if report == nil || p.failed(*report).Error() != "read from nowhere: bad file descriptor" {
			t.Errorf("%s: report %v", name, report)
		}
	}
}

func TestWithLowestFree(t *testing.T) {
	for _, c := range []struct {
		open []int
		n    int
		want []int
	}{
		{nil, 3, []int{0, 1, 2}},
		{[]int{0, 1, 2}, 2, []int{0, 1, 2, 3, 4}},
		{[]int{0, 2, 900}, 3, []int{0, 1, 2, 3, 4, 900}},
		{[]int{3, 4}, 3, []int{0, 1, 2, 3, 4}},
		{[]int{3, 4}, 4, []int{0, 1, 2, 3, 4, 5}},
		{[]int{7}, 0, []int{7}},
	} {
		if got := withLowestFree(c.open, c.n); !slices.Equal(got, c.want) {
			t.Errorf("%v and %d more: got %v, want %v", c.open, c.n, got, c.want)
		}
	}
}

// One by one, what is open is closed, and what is to be kept isn't.
func TestCloseEach(t *testing.T) {
	var open []int
	for range 100 {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		open = append(open, fd)
	}
	kept := open[70]
	_, report, _ := perform(t, 0, func(p *program) {
		all := openDescriptors()
		p.setUp = slices.Concat(closeEach(all, 3, p.line-1), closeEach(all, p.line+1, uintptr(kept)-1), closeEach(all, uintptr(kept)+1, highestFD))
		for _, fd := range open {
			s := call(fmt.Sprintf("descriptor %d is closed", fd), unix.SYS_FCNTL, uintptr(fd), unix.F_GETFD, 0).wanting(noResult).passing(unix.EBADF)
			if fd == kept {
				s = call(fmt.Sprintf("descriptor %d is open", fd), unix.SYS_FCNTL, uintptr(fd), unix.F_GETFD, 0)
			}
			p.setUp = append(p.setUp, s)
		}
	})
	if report != nil {
		t.Errorf("got the report %+v", report)
	}
}

// Paths lead where openat2(2) has them lead, and fail as they do there.
func TestWalkInRoot(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"outside", "root/file", "root/etc/passwd", "root/a/b/c/file", "root/a/file"} {
		write(t, filepath.Join(dir, name), name)
	}
	for name, to := range map[string]string{
		"up": "../../outside", "absolute": "/etc/passwd", "away": dir + "/outside", "loop": "loop", "loop2": "loop3", "loop3": "loop2",
		"dir": "a/b", "deep": "dir/../../a/./b//c", "slash": "a/", "fileslash": "file/", "dots": "../../..", "none": "no/such", "through": "/dir/c/file", "file2": "a/../deep/file", "a/b/top": "/etc/passwd", "a/b/up": "../../etc/passwd",
	} {
		if err := os.Symlink(to, filepath.Join(dir, "root", name)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := unix.Open(dir+"/root", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	how := func(flags int) *unix.OpenHow {
		return &unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	}
	if fd, err := unix.Openat2(root, ".", how(unix.O_PATH)); err != nil {
		need.Skip(t, "needs openat2(2) to compare with: "+err.Error())
	} else {
		unix.Close(fd)
	}
	inode := func(fd int, err error) string {
		if err != nil {
			return err.Error()
		}
		defer unix.Close(fd)
		to, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		if err != nil {
			t.Fatal(err)
		}
		return to
	}
	names := []string{"", "/", ".", "..", "../..", "/..", "//", "./", "no", "no/", "no/..", "a", "a/", "a//b", "a/.", "a/..", "a/../..", "a/../../file"}
	for _, first := range []string{"up", "absolute", "away", "loop", "loop2", "dir", "deep", "slash", "fileslash", "dots", "none", "through", "file2", "file", "etc", "a/b/top", "a/b/up"} {
		names = append(names, first, first+"/", first+"/.", first+"/..", first+"/../file", "a/../"+first, "/"+first, first+"/c/file", first+"/passwd", first+"/../etc/passwd")
	}
	for _, name := range names {
		for _, flags := range []int{unix.O_PATH, unix.O_RDONLY | unix.O_NONBLOCK} {
			got, want := inode(walkInRoot(root, name, flags)), inode(unix.Openat2(root, name, how(flags)))
			if got != want {
				t.Errorf("%q, flags %#x: got %s, want %s", name, flags, got, want)
			}
		}
	}
}

// Whoever changes the tree meanwhile doesn't get anybody out of it.
func TestWalkInRootChanging(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"root/a/b/file", "outside/b/file", "file"} {
		write(t, filepath.Join(dir, name), name)
	}
	if err := os.Symlink(dir+"/outside", dir+"/root/link"); err != nil {
		t.Fatal(err)
	}
	root, err := unix.Open(dir+"/root", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	var stop atomic.Bool
	done := make(chan error)
	go func() {
		for !stop.Load() {
			// A directory, and then a link that leads away; or moved out of the tree.
			if err := unix.Renameat2(unix.AT_FDCWD, dir+"/root/a", unix.AT_FDCWD, dir+"/root/link", unix.RENAME_EXCHANGE); err != nil {
				done <- err
				return
			}
			if err := errors.Join(os.Rename(dir+"/root/link", dir+"/moved"), os.Rename(dir+"/moved", dir+"/root/link")); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for range 5000 {
		for _, name := range []string{"a/b/file", "a/b/../b/file", "link/../file", "a/b/../../file"} {
			fd, err := walkInRoot(root, name, unix.O_RDONLY)
			if err != nil {
				continue
			}
			b := make([]byte, 64)
			n, _ := unix.Read(fd, b)
			unix.Close(fd)
			if !strings.HasPrefix(string(b[:n]), "root/") {
				t.Fatalf("%s has led to %s", name, b[:n])
			}
		}
	}
	stop.Store(true)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// An initramfs with what is mounted there, as Linux 5.10 tells of it.
const rootfsMounts = `1 1 0:2 / / rw - rootfs rootfs rw,size=105204k,nr_inodes=26301
20 1 0:18 / /proc rw,nosuid,relatime - proc proc rw
21 1 0:19 / /a\040b rw,relatime shared:1 - sysfs  rw
22 21 0:5 / /a\040b/dev ro,nodev,noexec - devtmpfs dev rw,size=105204k
`

func TestMounts(t *testing.T) {
	all := parseMounts(rootfsMounts + "rubbish\nx y 0:1 / / rw - a b c\n")
	want := []mounted{
		{1, 1, "/", 0}, {20, 1, "/proc", unix.MS_NOSUID}, {21, 1, "/a b", 0},
		{22, 21, "/a b/dev", unix.MS_RDONLY | unix.MS_NODEV | unix.MS_NOEXEC},
	}
	if !slices.Equal(all, want) {
		t.Errorf("got %+v, want %+v", all, want)
	}
	for text, want := range map[string]bool{
		rootfsMounts: true,
		"29 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 29 0:18 / /proc rw - proc proc rw\n": false, // the root is mounted on another
		"20 1 0:18 / /proc rw - proc proc rw\n":                                       false, // it is no mount (chroot)
		"":                                                                            false,
	} {
		if got := onRootfs(parseMounts(text)); got != want {
			t.Errorf("%q: got %t", text, got)
		}
	}
}

func TestUnescapeOctal(t *testing.T) {
	for s, want := range map[string]string{"plain": "plain", `a\040b\011\134`: "a b\t\\", `\`: `\`, `\04`: `\04`, `\999x`: `\999x`, `\040\040`: "  "} {
		if got := unescapeOctal(s); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
}

// The new root comes to lie over the old one, whatever else is mounted there is
// taken away, and then it is the process's.
func TestCoverRoot(t *testing.T) {
	p := new(program)
	var got []string
	for _, s := range p.coverRoot(parseMounts(rootfsMounts)) {
		got = append(got, s.words(p.objects()))
	}
	want := []string{
		`mount(".", "/", NULL, MS_MOVE, NULL)`,
		`umount2("/proc", MNT_DETACH)`, `umount2("/a b", MNT_DETACH)`,
		`chroot(".")`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
