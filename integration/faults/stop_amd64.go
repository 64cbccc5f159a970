//go:build linux

package faults

import "golang.org/x/sys/unix"

// setNumber makes the system call that a task is about to make another one: -1
// is none.
func setNumber(tid, nr int) error {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &regs); err != nil {
		return err
	}
	regs.Orig_rax = uint64(nr)
	return unix.PtraceSetRegs(tid, &regs)
}

// setResult makes a system call have failed.
func setResult(tid int, errno unix.Errno) error {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &regs); err != nil {
		return err
	}
	regs.Rax = -uint64(errno)
	return unix.PtraceSetRegs(tid, &regs)
}

// further are names of calls that other architectures haven't got.
var further = map[uint64]string{unix.SYS_ARCH_PRCTL: "arch_prctl"}
