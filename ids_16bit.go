//go:build linux && (386 || arm)

package main

import "golang.org/x/sys/unix"

// The calls without a number take ids of 16 bits on these architectures.
const (
	sysSetgroups = unix.SYS_SETGROUPS32
	sysSetresgid = unix.SYS_SETRESGID32
	sysSetresuid = unix.SYS_SETRESUID32
)
