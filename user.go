//go:build linux

package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"container/file"
)

// user is who a command runs as.
type user struct {
	uid, gid uint32
	groups   []uint32
	home     string
}

// lookUpUser finds a user, given as UID, NAME, UID:GID, NAME:GROUP or a mix,
// in the passwd and group files of a tree. Numbers need no entry there.
func lookUpUser(root int, spec string) (user, error) {
	name, group, hasGroup := strings.Cut(spec, ":")
	if name == "" {
		name = "0"
	}
	u := user{home: "/"}
	uid, numeric := number(name)
	found := false
	login := name
	err := eachEntry(root, "etc/passwd", 7, func(f []string) {
		id, ok := number(f[2])
		if found || !ok || numeric && id != uid || !numeric && f[0] != name {
			return
		}
		gid, ok := number(f[3])
		if !ok {
			return
		}
		found = true
		u.uid, u.gid, login = id, gid, f[0]
		if f[5] != "" {
			u.home = f[5]
		}
	})
	if err != nil {
		return u, err
	}
	switch {
	case found:
	case numeric:
		u.uid, login = uid, ""
		if uid == 0 {
			u.home = "/root"
		}
	default:
		return u, fmt.Errorf("-u %s: the container's /etc/passwd has no user %s", spec, name)
	}

	gid, numeric := number(group)
	found = !hasGroup
	err = eachEntry(root, "etc/group", 4, func(f []string) {
		id, ok := number(f[2])
		switch {
		case !ok:
		case hasGroup:
			if !found && !numeric && f[0] == group {
				u.gid, found = id, true
			}
		case login != "" && slices.Contains(strings.Split(f[3], ","), login) && !slices.Contains(u.groups, id):
			u.groups = append(u.groups, id)
		}
	})
	switch {
	case err != nil:
		return u, err
	case hasGroup && numeric:
		u.gid = gid
	case !found:
		return u, fmt.Errorf("-u %s: the container's /etc/group has no group %s", spec, group)
	}
	return u, nil
}

// number reads a user's or a group's id. The highest means "no change" to the
// system calls.
func number(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n != 1<<32-1
}

// eachEntry calls f with the fields of each line of a passwd(5) or group(5)
// file, those with fewer left out. A tree may have no such file.
func eachEntry(root int, name string, fields int, f func([]string)) error {
	fd, err := inRoot(root, name, unix.O_RDONLY|unix.O_NONBLOCK)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("in the container's tree: %w", err)
	}
	defer unix.Close(fd)
	b, err := file.ReadFD(fd, name, 16<<20)
	if err != nil {
		return fmt.Errorf("in the container's tree: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if entry := strings.Split(strings.TrimSuffix(line, "\n"), ":"); len(entry) >= fields {
			f(entry)
		}
	}
	return nil
}

// become makes a process the user's. Without root's id the kernel takes the
// capabilities away.
func (p *program) become(u user) []step {
	groups := append([]uint32{}, u.groups...)
	var list uintptr
	if len(groups) > 0 {
		p.keep = append(p.keep, groups)
		list = uintptr(unsafe.Pointer(unsafe.SliceData(groups)))
	}
	gid, uid := uintptr(u.gid), uintptr(u.uid)
	return []step{
		call("setgroups", sysSetgroups, uintptr(len(groups)), list),
		call(fmt.Sprint("setresgid ", u.gid), sysSetresgid, gid, gid, gid),
		call(fmt.Sprint("setresuid ", u.uid), sysSetresuid, uid, uid, uid),
	}
}
