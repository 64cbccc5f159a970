//go:build linux

// Package flee tries to leave a root file system.
package flee

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Flee tries what leads out of a root that is no more than a chroot(2): with the
// root in a directory and the working directory outside, go up as far as it goes.
// It returns the names that it finds there.
func Flee(dir string) ([]string, error) {
	up, err := unix.Open(".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("open", err)
	}
	for _, try := range []struct {
		name string
		do   func() error
	}{
		{"chroot", func() error { return unix.Chroot(dir) }},
		{"fchdir", func() error { return unix.Fchdir(up) }},
		{"chdir", func() error { return unix.Chdir(strings.Repeat("../", 100)) }},
		{"chroot", func() error { return unix.Chroot(".") }},
	} {
		if err := try.do(); err != nil {
			return nil, os.NewSyscallError(try.name, err)
		}
	}
	entries, err := os.ReadDir("/")
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}
