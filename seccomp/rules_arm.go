//go:build linux

package seccomp

import "golang.org/x/sys/unix"

var native = []rule{
	{"kexec_file_load", unix.SYS_KEXEC_FILE_LOAD, kexec},
	{"clock_settime64", unix.SYS_CLOCK_SETTIME64, clocks},
	{"pciconfig_iobase", unix.SYS_PCICONFIG_IOBASE, machine},
	{"pciconfig_read", unix.SYS_PCICONFIG_READ, machine},
	{"pciconfig_write", unix.SYS_PCICONFIG_WRITE, machine},
	{"_sysctl", unix.SYS__SYSCTL, old},
	{"sysfs", unix.SYS_SYSFS, old},
	{"uselib", unix.SYS_USELIB, old},
	{"ustat", unix.SYS_USTAT, old},
}

// reserved are stretches of numbers that no call has yet.
var reserved [][2]uint32

// beyond is what follows the last call known. The calls that ARM alone has are
// there: breakpoint, cacheflush, usr26, usr32, set_tls, get_tls (asm/unistd.h).
// Nothing that makes code or threads goes without.
var beyond = []stretch{{0xf0001, allow}, {0xf0007, absent}}
