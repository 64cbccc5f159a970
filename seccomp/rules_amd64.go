//go:build linux

package seccomp

import "golang.org/x/sys/unix"

var native = []rule{
	{"create_module", unix.SYS_CREATE_MODULE, oldModules},
	{"get_kernel_syms", unix.SYS_GET_KERNEL_SYMS, oldModules},
	{"query_module", unix.SYS_QUERY_MODULE, oldModules},
	{"kexec_file_load", unix.SYS_KEXEC_FILE_LOAD, kexec},
	{"iopl", unix.SYS_IOPL, ports},
	{"ioperm", unix.SYS_IOPERM, ports},
	{"_sysctl", unix.SYS__SYSCTL, old},
	{"sysfs", unix.SYS_SYSFS, old},
	{"uselib", unix.SYS_USELIB, old},
	{"ustat", unix.SYS_USTAT, old},
}

// reserved are stretches of numbers that no call has yet, or a new one: 336 is
// uprobe, which only the kernel makes programs call, and shows to no filter.
var reserved = [][2]uint32{{336, 423}}

// x32Bit marks the numbers of the x32 ABI, which the kernel calls x86-64 too
// (__X32_SYSCALL_BIT, asm/unistd.h).
const x32Bit = 0x4000_0000

// beyond is what follows the last call known. -1 has x32's bit too, and is no
// call of that ABI: a tracer puts it for one that is to be left out.
var beyond = []stretch{{x32Bit, kill}, {0xffff_ffff, absent}}
