//go:build linux

package seccomp

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// Whatever the capabilities and the call, the program is one that the kernel
// takes, comes to an answer, and to the one that the rules say.
func FuzzFilter(f *testing.F) {
	here := auditArch()
	for _, nr := range []uint32{0, unix.SYS_CLONE, unix.SYS_CLONE3, unix.SYS_PERSONALITY, unix.SYS_SOCKET, unix.SYS_MOUNT, unix.SYS_BPF, lastCall, lastCall + 1, 0x4000_0000, 0xf0002, ^uint32(0)} {
		for _, arg := range []uint64{0, 8, unix.AF_VSOCK, unix.CLONE_NEWUSER, ^uint64(0)} {
			f.Add(uint64(0), nr, uint32(0), arg, arg)
			f.Add(everything, nr, uint32(0), arg, uint64(0))
			f.Add(uint64(some), nr, uint32(littleEndian), uint64(0), arg)
		}
	}
	f.Fuzz(func(t *testing.T, caps uint64, nr, other uint32, arg0, arg1 uint64) {
		prog := Filter(caps)
		if err := check(prog); err != nil {
			t.Fatal(err)
		}
		d := data{nr: nr, arch: here ^ other, ip: uint64(nr) << 32, args: [6]uint64{arg0, arg1, arg0, arg1, arg0, arg1}}
		out := run(prog, d.bytes(order(here)), order(here))
		if got, want := verdict(out.ret), want(denied(caps), d); got != want {
			t.Errorf("capabilities %#x, %+v: %s, want %s", caps, d, got, want)
		}
		if out.steps > 24 {
			t.Errorf("capabilities %#x, %+v: %d instructions", caps, d, out.steps)
		}
	})
}

// The search finds the stretch of any number in any list of them, in the
// byte order of any architecture.
func FuzzSearch(f *testing.F) {
	f.Add(uint32(unix.AUDIT_ARCH_X86_64), uint32(3), []byte{0, 1, 0, 0, 0, 0})
	f.Add(uint32(unix.AUDIT_ARCH_S390X), uint32(1<<24), []byte{1, 0, 0, 0, 1, 2, 0, 0, 0, 9, 3, 255, 255, 255, 255, 0})
	f.Fuzz(func(t *testing.T, arch, nr uint32, raw []byte) {
		list := []stretch{{0, allow}}
		for ; len(raw) >= 5 && len(list) < 200; raw = raw[5:] {
			first := binary.BigEndian.Uint32(raw[1:])
			if first <= list[len(list)-1].first {
				continue
			}
			list = append(list, stretch{first, answer(raw[0]) % (kill + 1)})
		}
		prog := assemble(arch, list)
		if err := check(prog); err != nil {
			t.Fatal(err)
		}
		want := allow
		for _, s := range list {
			if s.first <= nr {
				want = s.answer
			}
		}
		d := data{nr: nr, arch: arch}
		got := verdict(run(prog, d.bytes(order(arch)), order(arch)).ret)
		if words := []string{"allow", "EPERM", "ENOSYS", "kill"}; got != words[want] {
			t.Errorf("%d in %v: %s, want %s", nr, list, got, words[want])
		}
	})
}
