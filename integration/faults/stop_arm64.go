//go:build linux

package faults

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// setNumber makes the system call that a task is about to make another one: -1
// is none.
func setNumber(tid, nr int) error {
	n := int32(nr)
	iov := unix.Iovec{Base: (*byte)(unsafe.Pointer(&n)), Len: uint64(unsafe.Sizeof(n))}
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SETREGSET, uintptr(tid), unix.NT_ARM_SYSTEM_CALL, uintptr(unsafe.Pointer(&iov)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// setResult makes a system call have failed.
func setResult(tid int, errno unix.Errno) error {
	var regs unix.PtraceRegsArm64
	if err := unix.PtraceGetRegSetArm64(tid, unix.NT_PRSTATUS, &regs); err != nil {
		return err
	}
	regs.Regs[0] = -uint64(errno)
	return unix.PtraceSetRegSetArm64(tid, unix.NT_PRSTATUS, &regs)
}

// further are names of calls that other architectures haven't got.
var further map[uint64]string
