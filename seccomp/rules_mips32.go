//go:build linux && (mips || mipsle)

package seccomp

import "golang.org/x/sys/unix"

var native = []rule{
	{"umount", unix.SYS_UMOUNT, mounts},
	{"create_module", unix.SYS_CREATE_MODULE, oldModules},
	{"get_kernel_syms", unix.SYS_GET_KERNEL_SYMS, oldModules},
	{"query_module", unix.SYS_QUERY_MODULE, oldModules},
	{"stime", unix.SYS_STIME, clocks},
	{"clock_settime64", unix.SYS_CLOCK_SETTIME64, clocks},
	{"sysmips", unix.SYS_SYSMIPS, machine},
	// syscall(2) is a call here, with another's number for its first argument.
	// The kernel shows that other one to the filter, and its arguments. This is
	// for a kernel that does not.
	{"syscall", unix.SYS_SYSCALL, machine},
	{"_sysctl", unix.SYS__SYSCTL, old},
	{"sysfs", unix.SYS_SYSFS, old},
	{"uselib", unix.SYS_USELIB, old},
	{"ustat", unix.SYS_USTAT, old},
}

// reserved are stretches of numbers that no call has yet.
var reserved = [][2]uint32{{4369, 4392}}

// beyond is what follows the last call known.
var beyond []stretch
