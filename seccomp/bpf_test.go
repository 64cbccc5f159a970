//go:build linux

package seccomp

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// A classic BPF machine as the kernel's: it takes what seccomp(2) takes, and
// runs it.

// data is struct seccomp_data.
type data struct {
	nr   uint32
	arch uint32
	ip   uint64
	args [6]uint64
}

func order(arch uint32) binary.ByteOrder {
	if arch&littleEndian == 0 {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// bytes is the structure as a machine of that byte order has it in memory.
func (d data) bytes(o binary.ByteOrder) []byte {
	b := make([]byte, 64)
	o.PutUint32(b[0:], d.nr)
	o.PutUint32(b[4:], d.arch)
	o.PutUint64(b[8:], d.ip)
	for i, arg := range d.args {
		o.PutUint64(b[16+8*i:], arg)
	}
	return b
}

const (
	opLoad = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	opJeq  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	opJge  = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	opJset = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
	opRet  = unix.BPF_RET | unix.BPF_K
)

// check is what the kernel asks of a program: bpf_check_classic,
// net/core/filter.c, and seccomp_check_filter, kernel/seccomp.c.
func check(prog []unix.SockFilter) error {
	if len(prog) == 0 || len(prog) > unix.BPF_MAXINSNS {
		return fmt.Errorf("%d instructions", len(prog))
	}
	for i, in := range prog {
		switch in.Code {
		case opLoad:
			if in.K%4 != 0 || in.K >= 64 {
				return fmt.Errorf("%d: load from %d", i, in.K)
			}
		case opJeq, opJge, opJset:
			if i+1+int(max(in.Jt, in.Jf)) >= len(prog) {
				return fmt.Errorf("%d: jump out of the program", i)
			}
		case opRet:
		default:
			return fmt.Errorf("%d: operation %#x", i, in.Code)
		}
	}
	if prog[len(prog)-1].Code != opRet {
		return fmt.Errorf("the last instruction is no ret")
	}
	return nil
}

// outcome is an answer of a program and what it took.
type outcome struct {
	ret   uint32
	steps int
	args  bool // an argument was looked at
}

// run runs a program that has been checked: it comes to a ret.
func run(prog []unix.SockFilter, memory []byte, o binary.ByteOrder) outcome {
	var a uint32
	var out outcome
	for pc := 0; ; pc++ {
		in := prog[pc]
		out.steps++
		yes := false
		switch in.Code {
		case opLoad:
			a = o.Uint32(memory[in.K:])
			out.args = out.args || in.K >= 8
			continue
		case opRet:
			out.ret = in.K
			return out
		case opJeq:
			yes = a == in.K
		case opJge:
			yes = a >= in.K
		case opJset:
			yes = a&in.K != 0
		}
		if yes {
			pc += int(in.Jt)
		} else {
			pc += int(in.Jf)
		}
	}
}

// verdict is an answer in words.
func verdict(ret uint32) string {
	switch ret {
	case unix.SECCOMP_RET_ALLOW:
		return "allow"
	case unix.SECCOMP_RET_KILL_PROCESS:
		return "kill"
	case unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM):
		return "EPERM"
	case unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS):
		return "ENOSYS"
	}
	return fmt.Sprintf("%#x", ret)
}

// listing is a program in the words of the package comment, one instruction a
// line. Jumps show where they lead.
func listing(prog []unix.SockFilter) string {
	fields := map[uint32]string{0: "nr", 4: "arch"}
	var b strings.Builder
	for i, in := range prog {
		fmt.Fprintf(&b, "%3d  ", i)
		to := fmt.Sprintf("#%#-10x  yes %3d  no %3d", in.K, i+1+int(in.Jt), i+1+int(in.Jf))
		switch in.Code {
		case opLoad:
			field := fields[in.K]
			if in.K >= 16 {
				field = fmt.Sprintf("args[%d], the half at %d", (in.K-16)/8, (in.K-16)%8)
			}
			fmt.Fprintf(&b, "ld   [%d]  %s", in.K, field)
		case opJeq:
			fmt.Fprintf(&b, "jeq  %s", to)
		case opJge:
			fmt.Fprintf(&b, "jge  #%-12d  yes %3d  no %3d", in.K, i+1+int(in.Jt), i+1+int(in.Jf))
		case opJset:
			fmt.Fprintf(&b, "jset %s", to)
		case opRet:
			fmt.Fprintf(&b, "ret  %s", verdict(in.K))
		}
		b.WriteByte('\n')
	}
	return b.String()
}
