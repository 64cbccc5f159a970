//go:build linux && !cgo

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// arena is what Go's heap grows by on 64-bit machines.
const arena = 64 << 20

// forget gives back, of the copy that a child has of the runner's memory, what
// it can't need: all between Go's heap and the process's arguments, which is the
// runtime's. A child that clones another has less to copy then, and one that
// stays as long as its container less to keep. Below are the program's code and
// data, and the heap with the steps and the stack. What is shared with the
// runner stays, if there is something.
//
// With addresses of 32 bits the heap is not in one place.
func (p *program) forget(shared []byte) []step {
	if unsafe.Sizeof(uintptr(0)) < 8 || p.argv == nil {
		return nil
	}
	// Whatever the program will have beside itself is not further away.
	from := (uintptr(unsafe.Pointer(p))/arena + 2) * arena
	to := uintptr(p.argv) / arena * arena
	var steps []step
	unmap := func(from, to uintptr) {
		if from < to {
			steps = append(steps, call("unmap what was the runner's", unix.SYS_MUNMAP, from, to-from))
		}
	}
	if len(shared) > 0 {
		start := uintptr(unsafe.Pointer(unsafe.SliceData(shared)))
		if start < from || start > to {
			return nil
		}
		unmap(from, start)
		from = start + uintptr(len(shared))
	}
	unmap(from, to)
	return steps
}
