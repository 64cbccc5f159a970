//go:build linux

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// entry is a file of an initramfs.
type entry struct {
	name string // without a slash in front
	mode uint32 // type and permissions, as st_mode
	data []byte // of a regular file; the target of a symbolic link
	dev  [2]uint32
}

// The types in st_mode.
const (
	isDir  = 0o040000
	isFile = 0o100000
	isLink = 0o120000
	isChar = 0o020000
)

// writeCpio writes an archive as the kernel unpacks it into its first root file
// system: cpio in the format "newc"
// (Documentation/driver-api/early-userspace/buffer-format.rst). Each file has
// a header of 13 numbers in hexadecimal, its name and its data, both padded to
// four bytes; a name "TRAILER!!!" ends it. Directories that lead to a file and
// are not among the entries are made.
func writeCpio(w io.Writer, files []entry) error {
	c := cpio{w: w, made: map[string]bool{}}
	for _, f := range files {
		c.parents(f.name)
		c.add(f)
	}
	c.add(entry{name: "TRAILER!!!"})
	return c.err
}

// cpio keeps the first error.
type cpio struct {
	w    io.Writer
	ino  int
	made map[string]bool
	err  error
}

func (c *cpio) parents(name string) {
	for i, r := range name {
		if dir := name[:i]; r == '/' && !c.made[dir] {
			c.add(entry{name: dir, mode: isDir | 0o755})
		}
	}
}

func (c *cpio) add(f entry) {
	if c.made[f.name] || c.err != nil {
		return
	}
	c.made[f.name] = true
	c.ino++
	// c_ino, c_mode, c_uid, c_gid, c_nlink, c_mtime, c_filesize, c_maj, c_min,
	// c_rmaj, c_rmin, c_namesize with its NUL, c_chksum
	header := "070701"
	for _, n := range []uint32{uint32(c.ino), f.mode, 0, 0, 1, 0, uint32(len(f.data)), 0, 0, f.dev[0], f.dev[1], uint32(len(f.name) + 1), 0} {
		header += fmt.Sprintf("%08x", n)
	}
	head := header + f.name + "\x00"
	head += strings.Repeat("\x00", -len(head)&3)
	_, c.err = c.w.Write(slices.Concat([]byte(head), f.data, make([]byte, -len(f.data)&3)))
}
