//go:build linux && !cgo

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// arena is what Go's heap grows by on 64-bit machines.
const arena = 64 << 20

// withhold keeps from a child what it can't need of the runner's memory: all
// between Go's heap and the process's arguments, which is the runtime's. The
// kernel has less to copy then, the runner's next writes there need no copy, and
// a child that stays as long as its container has less to keep. Below are the
// program's code and data, and the heap with the steps and the stack. What the
// child shares with the runner stays, if there is something.
//
// With addresses of 32 bits the heap is not in one place.
func (p *program) withhold() {
	if unsafe.Sizeof(uintptr(0)) < 8 || p.argv == nil {
		return
	}
	// Whatever the program will have beside itself is not further away.
	from := (uintptr(unsafe.Pointer(p))/arena + 2) * arena
	to := uintptr(p.argv) / arena * arena
	if from >= to {
		return
	}
	// The kernel advises all that there is in the range, and then says that there
	// are holes (ENOMEM). If it knows no advice (CONFIG_ADVISE_SYSCALLS), the child
	// gets it all.
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTFORK)
	if len(p.shared) > 0 {
		_ = unix.Madvise(p.shared, unix.MADV_DOFORK)
	}
}
