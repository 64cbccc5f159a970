//go:build linux

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"container/file"
)

// host is what the package knows of the machine, and does to it, that a test
// can't do as it is: a group's files come and go by themselves.
type host struct {
	proc   string // where proc is mounted
	parent string // the name of the directory that our groups are below

	mkdir func(path string) error
	rmdir func(path string) error
	write func(path, value string) error

	// visible says whether a mount is what one gets at its mount point: another
	// may be on top.
	visible func(mount) bool
}

// kernel is the host that the process runs on.
var kernel = host{
	proc:   "/proc",
	parent: "container",
	mkdir: func(path string) error {
		return ignoringEINTR(func() error { return unix.Mkdir(path, 0o755) })
	},
	rmdir: func(path string) error {
		return ignoringEINTR(func() error { return unix.Rmdir(path) })
	},
	write: write,
	visible: func(m mount) bool {
		var st unix.Stat_t
		return unix.Stat(m.point, &st) == nil && uint64(st.Dev) == m.dev //nolint:unconvert // 32 bits on MIPS
	},
}

func ignoringEINTR(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// openDir opens a group's directory.
func openDir(path string) (fd int, err error) {
	err = ignoringEINTR(func() error {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, err
}

// write writes a value to a file that is there. It asks for no O_CREAT: a file
// that the kernel doesn't have should be ENOENT, not EPERM.
func write(path, value string) error {
	var fd int
	err := ignoringEINTR(func() (err error) {
		fd, err = unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return ignoringEINTR(func() error {
		_, err := unix.Write(fd, []byte(value))
		return err
	})
}

// read is the content of a file, without the newline at its end. Its error is
// the kernel's alone.
func read(path string) (string, error) {
	b, err := file.Read(path)
	return strings.TrimSuffix(string(b), "\n"), cause(err)
}

// cause is what the kernel said, without the words that package os puts before
// it.
func cause(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// isGone says that a file was not there, or that its group has been removed
// since it was opened.
func isGone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV)
}

// failed is the error of something that was done to a group, with what a person
// can do about errnos that have a usual cause.
func failed(group, what string, err error, advice map[unix.Errno]string) error {
	text := ""
	var errno unix.Errno
	if errors.As(err, &errno) && advice[errno] != "" {
		text = " (" + advice[errno] + ")"
	}
	return fmt.Errorf("cgroup %s: %s: %w%s", group, what, err, text)
}
