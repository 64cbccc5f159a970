//go:build linux

package file

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// What is read is what is there, whatever its size.
func TestRead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	for _, n := range []int{0, 1, 511, 512, 513, 100000} {
		want := bytes.Repeat([]byte("x\x00"), n)[:n]
		if err := os.WriteFile(name, want, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := Read(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("of %d bytes: %d, %v", n, len(got), err)
		}
	}
	if b, err := Read("/proc/self/status"); err != nil || !bytes.HasPrefix(b, []byte("Name:\t")) {
		t.Errorf("/proc/self/status: %q, %v", b, err)
	}
}

func TestWrite(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := Write(name, "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("to one that isn't there: %v", err)
	}
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Write(name, "value"); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(name); err != nil || string(b) != "value" {
		t.Errorf("got %q, %v", b, err)
	}
}

// More names than one system call gives come, in order.
func TestList(t *testing.T) {
	dir := t.TempDir()
	if got, err := List(dir); err != nil || len(got) != 0 {
		t.Errorf("of none: %q, %v", got, err)
	}
	var want []string
	for i := range 500 {
		name := fmt.Sprintf("%03d", (i*7)%500)
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		want = append(want, name)
	}
	slices.Sort(want)
	if got, err := List(dir); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestExists(t *testing.T) {
	dir := t.TempDir()
	name, link := filepath.Join(dir, "f"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(name, nil, 0), os.Symlink(dir, link)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][2]bool{dir: {true, true}, link: {true, true}, name: {true, false}, name + "x": {}, name + "/x": {}} {
		if there, isDir := Exists(path); [2]bool{there, isDir} != want {
			t.Errorf("%s: %t, %t", path, there, isDir)
		}
	}
}

// An error says what was tried on what, and is the kernel's.
func TestErrors(t *testing.T) {
	_, isDir := Read("/")
	_, isFile := List("/proc/self/status")
	for _, c := range []struct {
		err  error
		want string
		is   error
	}{
		{isDir, "read /: is a directory", unix.EISDIR},
		{isFile, "open /proc/self/status: not a directory", unix.ENOTDIR},
		{Write("/dev/full", "x"), "write /dev/full: no space left on device", unix.ENOSPC},
	} {
		if c.err == nil || c.err.Error() != c.want || !errors.Is(c.err, c.is) {
			t.Errorf("got %v, want %s", c.err, c.want)
		}
	}
}
