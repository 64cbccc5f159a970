//go:build linux

package main

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// tree makes a directory with files and opens it as a container's root.
func tree(t *testing.T, files map[string]string) int {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func TestLookUpUser(t *testing.T) {
	root := tree(t, map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1001:Bob:/home/bob:/bin/sh\n\n# comment\nshort:x:1\n4000:x:7:8::/odd:\nbad:x:none:1::/:\n",
		"etc/group":  "root:x:0:\nbob:x:1001:\nwheel:x:10:root,bob\naudio:x:29:bob\nodd:x:none:bob\n",
	})
	for _, c := range []struct {
		spec string
		want user
		err  string
	}{
		{spec: "0", want: user{0, 0, []uint32{10}, "/root"}},
		{spec: "root", want: user{0, 0, []uint32{10}, "/root"}},
		{spec: "bob", want: user{1000, 1001, []uint32{10, 29}, "/home/bob"}},
		{spec: "1000", want: user{1000, 1001, []uint32{10, 29}, "/home/bob"}},
		// With a group of its own choice, as docker run has it: that one, and
		// no others.
		{spec: "bob:wheel", want: user{1000, 10, nil, "/home/bob"}},
		{spec: "bob:77", want: user{1000, 77, nil, "/home/bob"}},
		{spec: ":77", want: user{0, 77, nil, "/root"}},
		{spec: "1234", want: user{1234, 0, nil, "/"}},
		{spec: "1234:5678", want: user{1234, 5678, nil, "/"}},
		// A number is an id, also where it is somebody's name.
		{spec: "4000", want: user{4000, 0, nil, "/"}},
		{spec: "alice", err: "-u alice: the container's /etc/passwd has no user alice"},
		{spec: "bad", err: "-u bad: the container's /etc/passwd has no user bad"},
		{spec: "short", err: "-u short: the container's /etc/passwd has no user short"},
		{spec: "bob:staff", err: "-u bob:staff: the container's /etc/group has no group staff"},
		{spec: "bob:", err: "-u bob:: the container's /etc/group has no group "},
		{spec: "4294967295", err: "-u 4294967295: the container's /etc/passwd has no user 4294967295"},
		{spec: "-1", err: "-u -1: the container's /etc/passwd has no user -1"},
	} {
		got, err := lookUpUser(root, c.spec)
		switch {
		case c.err != "":
			if err == nil || err.Error() != c.err {
				t.Errorf("-u %s: got %+v and the error %v, want %q", c.spec, got, err, c.err)
			}
		case err != nil || !reflect.DeepEqual(got, c.want):
			t.Errorf("-u %s: got %+v (error %v), want %+v", c.spec, got, err, c.want)
		}
	}
}

// A tree without these files has root, and users by number.
func TestLookUpUserWithoutFiles(t *testing.T) {
	root := tree(t, nil)
	if u, err := lookUpUser(root, "0"); err != nil || u.uid != 0 || u.home != "/root" {
		t.Errorf("-u 0: got %+v (error %v)", u, err)
	}
	if u, err := lookUpUser(root, "5:6"); err != nil || u.uid != 5 || u.gid != 6 {
		t.Errorf("-u 5:6: got %+v (error %v)", u, err)
	}
}

// What a symbolic link in the tree points to is looked for in the tree.
func TestInRoot(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(dir+"/root/etc", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/outside", []byte("secret:x:1:1::/:\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"up": "../../outside", "absolute": dir + "/outside"} {
		if err := os.Symlink(to, dir+"/root/etc/"+name); err != nil {
			t.Fatal(err)
		}
	}
	fd, err := unix.Open(dir+"/root", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, name := range []string{"etc/up", "etc/absolute", "../outside", "/../outside"} {
		if f, err := inRoot(fd, name, unix.O_RDONLY); err == nil {
			unix.Close(f)
			t.Errorf("%s leads out of the tree", name)
		}
	}
}

func FuzzLookUpUser(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/sh\n", "wheel:x:10:root\n", "root:wheel")
	f.Add("a:b", ":::", ":")
	f.Add("root:x:99999999999:0:::\n", "\x00", "0")
	f.Fuzz(func(t *testing.T, passwd, group, spec string) {
		root := tree(t, map[string]string{"etc/passwd": passwd, "etc/group": group})
		u, err := lookUpUser(root, spec)
		if err == nil && (u.uid == 1<<32-1 || u.gid == 1<<32-1 || slices.Contains(u.groups, 1<<32-1)) {
			t.Errorf("-u %q is %+v: the system calls would take an id for none", spec, u)
		}
		if err != nil && strings.TrimSpace(err.Error()) == "" {
			t.Error("an error without words")
		}
	})
}
