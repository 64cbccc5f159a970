//go:build linux && (amd64 || 386)

package main

import "golang.org/x/sys/unix"

// ioPorts asks for a port of a device that nobody has had for decades.
func ioPorts() error { return unix.Ioperm(0x3f0, 1, 1) }
