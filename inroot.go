//go:build linux

package main

import (
	"errors"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// inRoot opens a file below a directory as if that were the root: neither ".."
// nor a symbolic link leads out (openat2(2), Linux 5.6).
func inRoot(dir int, name string, flags uint64) (*os.File, error) {
	how := &unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	// EAGAIN: somewhere something was mounted or renamed while the kernel went
	// through a "..", so it can't swear to where that led.
	const tries = 1000
	var fd int
	var err error
	for range tries {
		fd, err = ignoringEINTR(func() (int, error) { return unix.Openat2(dir, name, how) })
		if !errors.Is(err, unix.EAGAIN) {
			break
		}
	}
	if unknownCall(err) {
		fd, err = walkInRoot(dir, name, int(flags))
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// maxLinks is how many symbolic links a path may lead over (MAXSYMLINKS in
// linux/namei.h).
const maxLinks = 40

// walkInRoot is inRoot before Linux 5.6. It goes from one directory to the next
// by descriptors and follows links itself. The kernel is never asked for ".."
// nor to follow a link, so what somebody puts in the place of what was looked at
// leads to an error, and nowhere else.
func walkInRoot(root int, name string, flags int) (fd int, err error) {
	if name == "" {
		return -1, unix.ENOENT
	}
	// The directories that were come by, from the root on.
	way := []int{root}
	back := func(n int) {
		for _, fd := range way[n:] {
			unix.Close(fd)
		}
		way = way[:n]
	}
	defer func() { back(1) }()
	// A path that ends with a slash is a directory's.
	if strings.HasSuffix(name, "/") {
		name += "."
	}
	rest := strings.Split(name, "/")
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		here := way[len(way)-1]
		switch {
		case part == "" || part == "." && len(rest) > 0:
			continue
		case part == "..":
			back(max(len(way)-1, 1))
			continue
		}
		fd, err := openNext(here, part, unix.O_PATH)
		if err != nil {
			return -1, err
		}
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			unix.Close(fd)
			return -1, err
		}
		switch {
		case st.Mode&unix.S_IFMT == unix.S_IFLNK:
			to, err := readLink(fd)
			unix.Close(fd)
			if links++; links > maxLinks {
				err = unix.ELOOP
			}
			if err != nil {
				return -1, err
			}
			if path.IsAbs(to) {
				back(1)
			}
			rest = append(strings.Split(to, "/"), rest...)
		case len(rest) > 0 && st.Mode&unix.S_IFMT != unix.S_IFDIR:
			unix.Close(fd)
			return -1, unix.ENOTDIR
		case len(rest) > 0:
			way = append(way, fd)
		case flags&unix.O_PATH != 0:
			return fd, nil
		default:
			unix.Close(fd)
			return openNext(here, part, flags)
		}
	}
	return openNext(way[len(way)-1], ".", flags)
}

func openNext(dir int, name string, flags int) (int, error) {
	return ignoringEINTR(func() (int, error) {
		return unix.Openat(dir, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
}

// readLink reads a symbolic link that was opened with O_PATH.
func readLink(fd int) (string, error) {
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", b)
	if err != nil {
		return "", err
	}
	if n == 0 {
		return "", unix.ENOENT
	}
	return string(b[:n]), nil
}
