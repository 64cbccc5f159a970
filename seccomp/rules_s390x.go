//go:build linux

package seccomp

import "golang.org/x/sys/unix"

var native = []rule{
	{"umount", unix.SYS_UMOUNT, mounts},
	{"create_module", unix.SYS_CREATE_MODULE, oldModules},
	{"get_kernel_syms", unix.SYS_GET_KERNEL_SYMS, oldModules},
	{"query_module", unix.SYS_QUERY_MODULE, oldModules},
	{"kexec_file_load", unix.SYS_KEXEC_FILE_LOAD, kexec},
	{"s390_guarded_storage", unix.SYS_S390_GUARDED_STORAGE, machine},
	{"s390_sthyi", unix.SYS_S390_STHYI, machine},
	{"_sysctl", unix.SYS__SYSCTL, old},
	{"sysfs", unix.SYS_SYSFS, old},
	{"uselib", unix.SYS_USELIB, old},
	{"ustat", unix.SYS_USTAT, old},
}

// reserved are stretches of numbers that no call has yet.
var reserved = [][2]uint32{{387, 391}, {403, 423}}

// beyond is what follows the last call known.
var beyond []stretch
