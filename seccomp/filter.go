//go:build linux

package seccomp

import (
	"runtime"
	"slices"

	"golang.org/x/sys/unix"
)

// Filter is the program for a container whose processes can have the
// capabilities caps: bit n stands for capability n of linux/capability.h.
//
// Loading it (PR_SET_SECCOMP, or seccomp(2)) takes no_new_privs or
// CAP_SYS_ADMIN. It lets through what is left to do then: prctl, capset,
// setuid, execve.
func Filter(caps uint64) []unix.SockFilter {
	return assemble(auditArch(), stretches(caps))
}

// answer is what becomes of a call.
type answer uint8

const (
	allow       answer = iota
	refuse             // EPERM
	absent             // ENOSYS
	kill               // the process
	cloneFlags         // refuse flags that make namespaces
	persona            // refuse all but a few
	family             // refuse some families of sockets
	answerCount = iota
)

// All architectures count alike from 424 on, and differ in where they begin:
// at 0, or on MIPS, where each ABI has a thousand numbers, at 4000 or 5000.
//
// The last call known is the last that Docker's profile allows. What is beyond
// it, or before the first, is absent. (mips64 takes o32's 4000 and n32's 6000
// from any process and calls all of it the ABI that the process was made for.)
const (
	lastCall  = unix.SYS_REMOVEXATTRAT
	firstCall = lastCall - 466
)

// stretch is a row of numbers, up to the next one's first, with one answer.
type stretch struct {
	first  uint32
	answer answer
}

// stretches are all numbers, from 0 up.
func stretches(caps uint64) []stretch {
	var known [lastCall - firstCall + 1]answer
	for _, r := range reserved {
		for n := r[0]; n <= r[1]; n++ {
			known[n-firstCall] = absent
		}
	}
	for _, table := range [...][]rule{rules, native} {
		for _, r := range table {
			if g := &groups[r.group]; g.unless&caps == 0 {
				known[r.nr-firstCall] = g.answer
			}
		}
	}

	list := make([]stretch, 0, 128)
	add := func(first uint32, a answer) {
		if n := len(list); n == 0 || list[n-1].answer != a {
			list = append(list, stretch{first, a})
		}
	}
	if firstCall > 0 {
		add(0, absent)
	}
	for i, a := range known {
		add(firstCall+uint32(i), a)
	}
	add(lastCall+1, absent)
	for _, s := range beyond {
		add(s.first, s.answer)
	}
	return list
}

// Offsets in struct seccomp_data.
const (
	offsetNr   = 0
	offsetArch = 4
	offsetArgs = 16
)

// littleEndian is a bit of every AUDIT_ARCH_… (__AUDIT_ARCH_LE, linux/audit.h).
const littleEndian = 0x4000_0000

// assembler writes a program from its end to its beginning. Jumps go forward,
// so the place that one leads to is then always there before the jump is.
type assembler struct {
	code []unix.SockFilter // the last instruction first
	low  uint32            // offset of the low half in an argument
	at   [answerCount]int  // where an answer is given, 0 if nowhere yet
}

// A place is the number of instructions from it to the end.

func (a *assembler) statement(code uint16, k uint32) int {
	a.code = append(a.code, unix.SockFilter{Code: code, K: k})
	return len(a.code)
}

// jump goes to the place yes if "A test k", to no if not. No distance is over
// 255, as no program has that many instructions (TestEveryProgram tries all).
func (a *assembler) jump(test uint16, k uint32, yes, no int) int {
	n := len(a.code)
	a.code = append(a.code, unix.SockFilter{Code: unix.BPF_JMP | test | unix.BPF_K, Jt: uint8(n - yes), Jf: uint8(n - no), K: k})
	return n + 1
}

func (a *assembler) load(offset uint32) int {
	return a.statement(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offset)
}

func (a *assembler) argument(n uint32) int { return a.load(offsetArgs + 8*n + a.low) }

func (a *assembler) ret(k uint32) int { return a.statement(unix.BPF_RET|unix.BPF_K, k) }

func (a *assembler) errno(e unix.Errno) int { return a.ret(unix.SECCOMP_RET_ERRNO | uint32(e)) }

// give is the place where an answer is given.
func (a *assembler) give(what answer) int {
	if a.at[what] == 0 {
		a.at[what] = a.write(what)
	}
	return a.at[what]
}

func (a *assembler) write(what answer) int {
	switch what {
	case allow:
		return a.ret(unix.SECCOMP_RET_ALLOW)
	case refuse:
		return a.errno(unix.EPERM)
	case absent:
		return a.errno(unix.ENOSYS)
	case cloneFlags:
		a.jump(unix.BPF_JSET, newNamespaces, a.give(refuse), a.give(allow))
		return a.argument(cloneFlagsArgument())
	case persona:
		place := a.give(refuse)
		for _, p := range personas {
			place = a.jump(unix.BPF_JEQ, p, a.give(allow), place)
		}
		return a.argument(0)
	case family:
		place := a.give(allow)
		for _, f := range families {
			place = a.jump(unix.BPF_JEQ, f, a.give(refuse), place)
		}
		return a.argument(0)
	}
	// Kernels before 4.14 don't know it, and kill on what they don't know.
	return a.ret(unix.SECCOMP_RET_KILL_PROCESS)
}

// search finds the stretch that the number in A is in.
func (a *assembler) search(list []stretch) int {
	if len(list) == 1 {
		return a.give(list[0].answer)
	}
	mid := len(list) / 2
	upper := a.search(list[mid:])
	lower := a.search(list[:mid])
	return a.jump(unix.BPF_JGE, list[mid].first, upper, lower)
}

func assemble(arch uint32, list []stretch) []unix.SockFilter {
	a := assembler{code: make([]unix.SockFilter, 0, 192)}
	if arch&littleEndian == 0 {
		a.low = 4
	}
	// All that ends the program comes last, so that the search ends with jumps
	// forward into it.
	for what := range answer(answerCount) {
		a.give(what)
	}
	a.search(list)
	here := a.load(offsetNr)
	a.jump(unix.BPF_JEQ, arch, here, a.give(kill))
	a.load(offsetArch)
	slices.Reverse(a.code)
	return a.code
}

// auditArch is what the kernel calls this architecture (linux/audit.h).
func auditArch() uint32 {
	switch runtime.GOARCH {
	case "386":
		return unix.AUDIT_ARCH_I386
	case "amd64":
		return unix.AUDIT_ARCH_X86_64 // x32's too, see the amd64 table
	case "arm":
		return unix.AUDIT_ARCH_ARM
	case "arm64":
		return unix.AUDIT_ARCH_AARCH64
	case "loong64":
		return unix.AUDIT_ARCH_LOONGARCH64
	case "mips":
		return unix.AUDIT_ARCH_MIPS
	case "mipsle":
		return unix.AUDIT_ARCH_MIPSEL
	case "mips64":
		return unix.AUDIT_ARCH_MIPS64
	case "mips64le":
		return unix.AUDIT_ARCH_MIPSEL64
	case "ppc64":
		return unix.AUDIT_ARCH_PPC64
	case "ppc64le":
		return unix.AUDIT_ARCH_PPC64LE
	case "riscv64":
		return unix.AUDIT_ARCH_RISCV64
	case "s390x":
		return unix.AUDIT_ARCH_S390X
	}
	panic("seccomp: no AUDIT_ARCH for " + runtime.GOARCH)
}

// cloneFlagsArgument is which of clone's arguments the flags are: on s390x the
// stack comes first (CONFIG_CLONE_BACKWARDS2).
func cloneFlagsArgument() uint32 {
	if runtime.GOARCH == "s390x" {
		return 1
	}
	return 0
}
