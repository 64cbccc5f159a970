//go:build linux && (mips64 || mips64le)

package seccomp

import "golang.org/x/sys/unix"

var native = []rule{
	{"create_module", unix.SYS_CREATE_MODULE, oldModules},
	{"get_kernel_syms", unix.SYS_GET_KERNEL_SYMS, oldModules},
	{"query_module", unix.SYS_QUERY_MODULE, oldModules},
	{"sysmips", unix.SYS_SYSMIPS, machine},
	{"_sysctl", unix.SYS__SYSCTL, old},
	{"sysfs", unix.SYS_SYSFS, old},
	{"ustat", unix.SYS_USTAT, old},
}

// reserved are stretches of numbers that no call has yet.
var reserved = [][2]uint32{{5329, 5423}}

// beyond is what follows the last call known.
var beyond []stretch
