//go:build linux

package seccomp

import (
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func BenchmarkFilter(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Filter(some)
	}
}

// apart runs a benchmark on a thread that ends with it, with a filter.
func apart(b *testing.B, prog []unix.SockFilter, f func()) {
	needSeccomp(b)
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if prog != nil {
			if err := load(prog, 0); err != nil {
				done <- err
				return
			}
		}
		f()
		done <- nil
	}()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

// What the filter costs a call: one that the kernel knows to be allowed, one
// that it has to run the program for, and one that is refused; and the first
// again on a kernel that has no such knowledge, which a load of an argument
// before all else takes away.
func BenchmarkCall(b *testing.B) {
	blind := slices.Insert(Filter(some), 0, unix.SockFilter{Code: opLoad, K: 16})
	for _, test := range []struct {
		name string
		prog []unix.SockFilter
		nr   uintptr
		arg  uintptr
	}{
		{"getpid/unfiltered", nil, unix.SYS_GETPID, 0},
		{"getpid/filtered", Filter(some), unix.SYS_GETPID, 0},
		{"getpid/filtered, before 5.11", blind, unix.SYS_GETPID, 0},
		{"personality/unfiltered", nil, unix.SYS_PERSONALITY, 0xffffffff},
		{"personality/filtered", Filter(some), unix.SYS_PERSONALITY, 0xffffffff},
		{"bpf/unfiltered", nil, unix.SYS_BPF, ^uintptr(0)},
		{"bpf/refused", Filter(some), unix.SYS_BPF, ^uintptr(0)},
	} {
		b.Run(test.name, func(b *testing.B) {
			apart(b, test.prog, func() {
				for b.Loop() {
					unix.RawSyscall(test.nr, test.arg, 0, 0)
				}
			})
		})
	}
}

// What it costs a container's start: a thread is made, and loads it.
func BenchmarkLoad(b *testing.B) {
	prog := Filter(some)
	b.Run("thread alone", func(b *testing.B) {
		for b.Loop() {
			apart(b, nil, func() {})
		}
	})
	b.Run("thread and filter", func(b *testing.B) {
		for b.Loop() {
			apart(b, prog, func() {})
		}
	})
}
