//go:build linux

package main

import (
	"errors"

	"golang.org/x/sys/unix"
)

// identity is who this process is, as far as it tells whether somebody has it
// run with more rights than they have themselves.
type identity struct {
	uid, euid, gid, egid int
	secure               bool // the kernel calls it so: AT_SECURE, getauxval(3)
	caps                 capabilities
}

func ownIdentity() (identity, error) {
	id := identity{
		uid: unix.Getuid(), euid: unix.Geteuid(),
		gid: unix.Getgid(), egid: unix.Getegid(),
		secure: auxiliary(atSecure) != 0,
	}
	var err error
	// Only who is not root has to ask.
	if id.secure && id.uid != 0 {
		id.caps, err = ownCaps()
	}
	return id, err
}

// refuseLoan refuses rights that come with the program's file. Whoever may run a
// container may be root on the host: -v alone gives all of its files. So a
// program that lent root's rights to its callers would make each of them root,
// whatever it checked.
func (id identity) refuseLoan() error {
	switch {
	case id.uid != id.euid:
		return errors.New("this file is set-user-ID, which would make root of everybody who runs it: take that away (chmod u-s), and use sudo")
	case id.uid != 0 && id.gid != id.egid:
		return errors.New("this file is set-group-ID, which lends rights to everybody who runs it: take that away (chmod g-s), and use sudo")
	case id.uid != 0 && id.secure && id.caps != 0:
		return errors.New("this file has capabilities, which lend root's rights to everybody who runs it: take them away (setcap -r), and use sudo")
	}
	return nil
}
