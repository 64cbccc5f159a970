//go:build linux

// Package file reads and writes the small files that the kernel is asked and
// told things by, in /proc, /sys and a few in /etc, with a system call for each
// step. Package os would start Go's poller for a file, which costs a run more
// than the reading, and it brings the local time along (for os.FileInfo), which
// nothing here asks for.
package file

import (
	"errors"
	"io/fs"
	"math"
	"sort"

	"golang.org/x/sys/unix"
)

// Read is the content of a file. Its error is a *fs.PathError.
func Read(name string) ([]byte, error) { return ReadUpTo(name, math.MaxInt) }

// ReadUpTo is the content of a file, or as many bytes of it. Its error is a
// *fs.PathError.
func ReadUpTo(name string, most int) ([]byte, error) {
	fd, err := open(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return ReadFD(fd, name, most)
}

// ReadFD is what is left to read of an open file, whose name is for the error
// alone, or as many bytes of it. Its error is a *fs.PathError.
func ReadFD(fd int, name string, most int) ([]byte, error) {
	// What the kernel makes up has no size before it is read: most is less
	// than this.
	b := make([]byte, 0, min(most, 512))
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		room := b[len(b):min(cap(b), most)]
		if len(room) == 0 {
			return b, nil
		}
		n, err := again(func() (int, error) { return unix.Read(fd, room) })
		switch {
		case err != nil:
			return nil, &fs.PathError{Op: "read", Path: name, Err: err}
		case n == 0:
			return b, nil
		}
		b = b[:len(b)+n]
	}
}

// Write writes a value to a file that is there, in one piece. It asks for no
// O_CREAT: a file that the kernel doesn't have should be ENOENT, not EPERM. Its
// error is a *fs.PathError.
func Write(name, value string) error {
	fd, err := open(name, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, err := again(func() (int, error) { return unix.Write(fd, []byte(value)) }); err != nil {
		return &fs.PathError{Op: "write", Path: name, Err: err}
	}
	return nil
}

// List is the names of what is in a directory, in order. Its error is a
// *fs.PathError.
func List(dir string) ([]string, error) {
	fd, err := open(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var names []string
	b := make([]byte, 4096)
	for {
		n, err := again(func() (int, error) { return unix.ReadDirent(fd, b) })
		if err != nil {
			return nil, &fs.PathError{Op: "readdir", Path: dir, Err: err}
		}
		if n == 0 {
			sort.SliceStable(names, func(i, j int) bool { return names[i] < names[j] })
			return names, nil
		}
		_, _, names = unix.ParseDirent(b[:n], -1, names) // "." and ".." aren't among them
	}
}

// Exists tells whether there is something of a name, and whether that is a
// directory, once symbolic links have been followed.
func Exists(name string) (there, dir bool) {
	var st unix.Stat_t
	_, err := again(func() (int, error) { return 0, unix.Stat(name, &st) })
	return err == nil, err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

func open(name string, flags int) (int, error) {
	fd, err := again(func() (int, error) { return unix.Open(name, flags|unix.O_CLOEXEC, 0) })
	if err != nil {
		return 0, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return fd, nil
}

// again makes a system call until no signal comes in between.
func again(f func() (int, error)) (int, error) {
	for {
		if n, err := f(); !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
