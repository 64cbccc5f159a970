//go:build linux && !386 && !arm

package main

import "golang.org/x/sys/unix"

// The calls that set a process's ids.
const (
	sysSetgroups = unix.SYS_SETGROUPS
	sysSetresgid = unix.SYS_SETRESGID
	sysSetresuid = unix.SYS_SETRESUID
)
