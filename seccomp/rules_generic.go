//go:build linux && (arm64 || loong64 || riscv64)

package seccomp

import "golang.org/x/sys/unix"

// The younger architectures share one table (asm-generic/unistd.h), without
// what was old when they began.

var native = []rule{
	{"kexec_file_load", unix.SYS_KEXEC_FILE_LOAD, kexec},
}

// reserved are stretches of numbers that no call has yet. 244 to 259 are for
// each architecture's own, and two of RISC-V's (riscv_hwprobe and
// riscv_flush_icache, at the end) are allowed.
var reserved = [][2]uint32{{244, 257}, {295, 423}}

// beyond is what follows the last call known.
var beyond []stretch
