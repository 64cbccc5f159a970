//go:build linux

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// readFile reads a file, as far as it goes or up to so many bytes. It makes the
// system calls itself: package os would start Go's poller, which costs a run
// more than its few small files.
func readFile(name string, most int) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	return readAll(fd, name, most)
}

// readAll reads what is left of an open file, up to so many bytes.
func readAll(fd int, name string, most int) ([]byte, error) {
	b := make([]byte, 0, min(most, 2048))
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		room := b[len(b):min(cap(b), most)]
		if len(room) == 0 {
			return b, nil
		}
		n, err := ignoringEINTR(func() (int, error) { return unix.Read(fd, room) })
		switch {
		case err != nil:
			return nil, &os.PathError{Op: "read", Path: name, Err: err}
		case n == 0:
			return b, nil
		}
		b = b[:len(b)+n]
	}
}
