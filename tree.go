//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"path"

	"golang.org/x/sys/unix"

	"container/file"
)

// plan looks at the host and at the container's tree and settles what the
// command will be. Nothing is changed.
func plan(o *options) (*command, error) {
	root, err := openRoot(o)
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	if o.hasRoot() && !path.IsAbs(o.rootfs) {
		// From / on, for what is mounted on "." does not show at "." (changeRoot).
		cwd, err := unix.Getwd()
		if err != nil {
			return nil, fmt.Errorf("the working directory: %w", err)
		}
		o.rootfs = cwd + "/" + o.rootfs
	}
	if len(o.volumes) > 0 && lacksOpenTree() {
		return nil, fmt.Errorf("-v %s: it takes open_tree(2), which Linux has from 5.2 on", o.volumes[0].source)
	}
	for i := range o.volumes {
		if err := o.volumes[i].look(); err != nil {
			return nil, err
		}
		if !o.makes(o.volumes[i]) {
			if there, _ := file.Exists(o.volumes[i].target); !there {
				return nil, fmt.Errorf("-v %s: the host's own tree has no %s to mount it on", o.volumes[i].source, o.volumes[i].target)
			}
		}
	}
	if o.workdir == "" {
		o.workdir = "/"
		if !o.hasRoot() {
			if o.workdir, err = unix.Getwd(); err != nil {
				return nil, fmt.Errorf("the working directory: %w", err)
			}
		}
	}
	own, err := ownCaps()
	if err != nil {
		return nil, err
	}
	caps, err := grant(o.added, o.dropped, o.privileged, own)
	if err != nil {
		return nil, err
	}
	c, err := o.settle(root, o.hostname, addrs(o.addresses), caps)
	var s *statusError
	if errors.As(err, &s) && len(o.volumes) > 0 {
		// The command may be on a volume: the container will see.
		c.paths, err = candidates(o.argv[0], getEnv(c.env, "PATH")), nil
	}
	return c, err
}

// openRoot opens the directory that will be the container's root.
func openRoot(o *options) (int, error) {
	dir := "/"
	if o.hasRoot() {
		dir = o.rootfs
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("-rootfs %s: %w", dir, err)
	}
	return fd, nil
}

// settle makes a command of what was asked for, in a tree. With a statusError
// the command is complete but for its path.
func (o *processOptions) settle(root int, hostname string, addresses []netip.Addr, caps capabilities) (*command, error) {
	if err := standardStreams(); err != nil {
		return nil, err
	}
	u, err := lookUpUser(root, o.user)
	if err != nil {
		return nil, err
	}
	c := &command{
		argv:     o.argv,
		env:      environment(o.terminal, hostname, u.home, append(addressEnv(addresses), o.env...)),
		workdir:  o.workdir,
		user:     u,
		caps:     caps,
		confined: !o.privileged,
		terminal: o.terminal,
	}
	path, err := lookUp(root, o.argv[0], getEnv(c.env, "PATH"), o.workdir)
	c.paths = []string{path}
	return c, err
}

// standardStreams refuses a directory in the place of a standard stream: the
// command gets those as they are, and from a directory of the host's tree there
// is a way to all of that.
func standardStreams() error {
	for fd, name := range []string{"standard input", "standard output", "standard error"} {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			return fmt.Errorf("%s is a directory, which would be a way out of the container", name)
		}
	}
	return nil
}
