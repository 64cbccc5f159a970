//go:build linux

package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// flee tries what leads out of a root that is no more than a chroot(2): with the
// root in a directory and the working directory outside, go up as far as it goes.
// It prints the names that it finds there.
func flee(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("flee takes a directory, not %q", args)
	}
	up, err := unix.Open(".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open", err)
	}
	for _, try := range []struct {
		name string
		do   func() error
	}{
		{"chroot", func() error { return unix.Chroot(args[0]) }},
		{"fchdir", func() error { return unix.Fchdir(up) }},
		{"chdir", func() error { return unix.Chdir(strings.Repeat("../", 100)) }},
		{"chroot", func() error { return unix.Chroot(".") }},
	} {
		if err := try.do(); err != nil {
			return os.NewSyscallError(try.name, err)
		}
	}
	entries, err := os.ReadDir("/")
	if err != nil {
		return err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	fmt.Println(strings.Join(names, " "))
	return nil
}
