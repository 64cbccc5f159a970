//go:build linux

package seccomp

import "golang.org/x/sys/unix"

var native = []rule{
	{"umount", unix.SYS_UMOUNT, mounts},
	{"create_module", unix.SYS_CREATE_MODULE, oldModules},
	{"get_kernel_syms", unix.SYS_GET_KERNEL_SYMS, oldModules},
	{"query_module", unix.SYS_QUERY_MODULE, oldModules},
	{"stime", unix.SYS_STIME, clocks},
	{"clock_settime64", unix.SYS_CLOCK_SETTIME64, clocks},
	{"iopl", unix.SYS_IOPL, ports},
	{"ioperm", unix.SYS_IOPERM, ports},
	{"vm86", unix.SYS_VM86, machine},
	{"vm86old", unix.SYS_VM86OLD, machine},
	{"_sysctl", unix.SYS__SYSCTL, old},
	{"sysfs", unix.SYS_SYSFS, old},
	{"uselib", unix.SYS_USELIB, old},
	{"ustat", unix.SYS_USTAT, old},
}

// reserved are stretches of numbers that no call has yet.
var reserved = [][2]uint32{{387, 392}}

// beyond is what follows the last call known.
var beyond []stretch
