//go:build linux

package main

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

func TestKeepOnly(t *testing.T) {
	const end = uintptr(^uint32(0))
	for _, c := range []struct {
		keep []int
		want [][2]uintptr
	}{
		{nil, [][2]uintptr{{3, end}}},
		{[]int{3}, [][2]uintptr{{4, end}}},
		{[]int{4}, [][2]uintptr{{3, 3}, {5, end}}},
		{[]int{7, 5}, [][2]uintptr{{3, 4}, {6, 6}, {8, end}}},
		{[]int{3, 4, 5}, [][2]uintptr{{6, end}}},
		{[]int{0, 2, 6}, [][2]uintptr{{3, 5}, {7, end}}},
		{[]int{6, 6}, [][2]uintptr{{3, 5}, {7, end}}},
	} {
		var got [][2]uintptr
		for _, s := range keepOnly(slices.Clone(c.keep)...) {
			if s.trap != unix.SYS_CLOSE_RANGE || s.args[2] != 0 {
				t.Errorf("keep %v: a step that is not close_range without flags: %+v", c.keep, s)
			}
			got = append(got, [2]uintptr{s.args[0], s.args[1]})
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("keep %v: closes %v, want %v", c.keep, got, c.want)
		}
	}
}

// A child has copies of all descriptors; what it is to keep is left.
func TestKeepOnlyInAChild(t *testing.T) {
	var open []int
	for range 40 {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		open = append(open, fd)
	}
	kept := []int{open[3], open[20]}
	p, report, _ := perform(t, 0, func(p *program) {
		p.setUp = keepOnly(append(kept, int(p.line))...)
		for _, fd := range open {
			s := call(fmt.Sprintf("descriptor %d is closed", fd), unix.SYS_FCNTL, uintptr(fd), unix.F_GETFD, 0).wanting(noResult).passing(unix.EBADF)
			if slices.Contains(kept, fd) {
				s = call(fmt.Sprintf("descriptor %d is open", fd), unix.SYS_FCNTL, uintptr(fd), unix.F_GETFD, 0)
			}
			p.setUp = append(p.setUp, s)
		}
	})
	if report != nil {
		t.Error(p.failed(*report))
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("SECRET", "of the caller")
	t.Setenv("TERM", "vt100")
	plain := []string{"PATH=" + defaultPath, "HOSTNAME=box", "HOME=/home/bob"}
	with := func(more ...string) []string { return append(slices.Clone(plain), more...) }
	for _, c := range []struct {
		name     string
		terminal bool
		term     string // the caller's
		given    []string
		want     []string
	}{
		{name: "nothing asked for", term: "vt100", want: plain},
		{name: "a terminal", terminal: true, term: "vt100", want: with("TERM=vt100")},
		{name: "a terminal of no name", terminal: true, want: with("TERM=xterm")},
		{name: "given", given: []string{"A=b", "EMPTY=", "TWO=a=b"}, want: with("A=b", "EMPTY=", "TWO=a=b")},
		{name: "the caller's", given: []string{"SECRET", "NONE_OF_THAT_NAME"}, want: with("SECRET=of the caller")},
		{name: "given twice", given: []string{"A=b", "A=c"}, want: with("A=c")},
		{name: "instead", given: []string{"HOME=/x"}, want: []string{plain[0], plain[1], "HOME=/x"}},
	} {
		t.Setenv("TERM", c.term)
		if got := environment(c.terminal, "box", "/home/bob", c.given); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestLookUp(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	program, data := write("program", 0o755), write("data", 0o644)

	root, err := unix.Open("/", unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)

	// By its path it is found wherever it is, in PATH only there.
	t.Setenv("PATH", dir)
	for _, c := range []struct {
		name, path string
		status     int
		err        string
	}{
		{name: program, path: program},
		{name: "/bin/../bin/sh", path: "/bin/../bin/sh"},
		{name: data, status: statusNotExecutable, err: data + ": permission denied"},
		{name: dir, status: statusNotExecutable, err: dir + ": permission denied"},
		{name: dir + "/none", status: statusNotFound, err: dir + "/none: no such file or directory"},
		{name: data + "/none", status: statusNotFound, err: data + "/none: not a directory"},
		{name: "program", status: statusNotFound, err: "program: command not found in " + defaultPath},
		{name: "./program", path: "./program"},
		{name: "./none", status: statusNotFound, err: "./none: no such file or directory"},
		{name: "..", status: statusNotExecutable, err: "..: permission denied"},
	} {
		path, err := lookUp(root, c.name, defaultPath, dir)
		if c.err == "" {
			if err != nil || path != c.path {
				t.Errorf("%s: got %q (error %v), want %q", c.name, path, err, c.path)
			}
			continue
		}
		var s *statusError
		if !errors.As(err, &s) || s.status != c.status || err.Error() != c.err {
			t.Errorf("%s: got %q and the error %v (%+v), want %q with status %d", c.name, path, err, s, c.err, c.status)
		}
	}
	path, err := lookUp(root, "sh", defaultPath, "/")
	if err != nil || filepath.Base(path) != "sh" || !strings.Contains(":"+defaultPath+":", ":"+filepath.Dir(path)+":") {
		t.Errorf("sh: got %q (error %v), want it in one of %s", path, err, defaultPath)
	}
}

func TestExecError(t *testing.T) {
	for errno, want := range map[unix.Errno]struct {
		status int
		text   string
	}{
		unix.ENOENT:  {127, "x: no such file or directory"},
		unix.ENOTDIR: {127, "x: not a directory"},
		unix.EACCES:  {126, "x: permission denied"},
		unix.ENOEXEC: {126, "x: exec format error (not a program of this architecture, nor a script that names its interpreter)"},
		unix.ETXTBSY: {126, "x: text file busy"},
	} {
		err := execError("x", errno)
		var s *statusError
		if !errors.As(err, &s) || s.status != want.status || err.Error() != want.text || !errors.Is(err, errno) {
			t.Errorf("%v: got %q with status %d, want %q with %d", errno, err, s.status, want.text, want.status)
		}
	}
}
