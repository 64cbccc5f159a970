//go:build linux && (ppc64 || ppc64le)

package seccomp

import "golang.org/x/sys/unix"

var native = []rule{
	{"umount", unix.SYS_UMOUNT, mounts},
	{"create_module", unix.SYS_CREATE_MODULE, oldModules},
	{"get_kernel_syms", unix.SYS_GET_KERNEL_SYMS, oldModules},
	{"query_module", unix.SYS_QUERY_MODULE, oldModules},
	{"kexec_file_load", unix.SYS_KEXEC_FILE_LOAD, kexec},
	{"stime", unix.SYS_STIME, clocks},
	{"pciconfig_iobase", unix.SYS_PCICONFIG_IOBASE, machine},
	{"pciconfig_read", unix.SYS_PCICONFIG_READ, machine},
	{"pciconfig_write", unix.SYS_PCICONFIG_WRITE, machine},
	{"rtas", unix.SYS_RTAS, machine},
	{"spu_create", unix.SYS_SPU_CREATE, machine},
	{"spu_run", unix.SYS_SPU_RUN, machine},
	{"subpage_prot", unix.SYS_SUBPAGE_PROT, machine},
	{"switch_endian", unix.SYS_SWITCH_ENDIAN, machine},
	{"sys_debug_setcontext", unix.SYS_SYS_DEBUG_SETCONTEXT, machine},
	{"_sysctl", unix.SYS__SYSCTL, old},
	{"sysfs", unix.SYS_SYSFS, old},
	{"uselib", unix.SYS_USELIB, old},
	{"ustat", unix.SYS_USTAT, old},
}

// reserved are stretches of numbers that no call has yet.
var reserved = [][2]uint32{{366, 377}, {389, 391}, {403, 423}}

// beyond is what follows the last call known.
var beyond []stretch
