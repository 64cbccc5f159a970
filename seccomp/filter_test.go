//go:build linux

package seccomp

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// everything is all capabilities; some is those that Docker gives a container.
const (
	everything = ^uint64(0)
	some       = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_FSETID | 1<<unix.CAP_FOWNER |
		1<<unix.CAP_MKNOD | 1<<unix.CAP_NET_RAW | 1<<unix.CAP_SETGID | 1<<unix.CAP_SETUID | 1<<unix.CAP_SETFCAP |
		1<<unix.CAP_SETPCAP | 1<<unix.CAP_NET_BIND_SERVICE | 1<<unix.CAP_SYS_CHROOT | 1<<unix.CAP_KILL | 1<<unix.CAP_AUDIT_WRITE
)

// ask runs this machine's filter over a call.
func ask(caps uint64, nr uint32, args ...uint64) string {
	d := data{nr: nr, arch: auditArch()}
	copy(d.args[:], args)
	return verdict(run(Filter(caps), d.bytes(order(d.arch)), order(d.arch)).ret)
}

// number is the number of a call that the filter knows.
func number(name string) (nr uint32, ok bool) {
	for _, table := range [][]rule{rules, native} {
		for _, r := range table {
			if r.name == name {
				return uint32(r.nr), true
			}
		}
	}
	return 0, false
}

// What Docker refuses, and the capabilities that lift it: on every
// architecture, then on some. It stands here beside the tables, so that neither
// can lose a call alone.
var refused = []struct {
	names string
	caps  []uint
}{
	{"mount umount2 fsopen fsconfig fsmount fspick open_tree move_mount mount_setattr", []uint{unix.CAP_SYS_ADMIN}},
	{"setns unshare sethostname setdomainname quotactl quotactl_fd fanotify_init lookup_dcookie", []uint{unix.CAP_SYS_ADMIN}},
	{"lsm_get_self_attr lsm_set_self_attr lsm_list_modules", []uint{unix.CAP_SYS_ADMIN}},
	{"bpf", []uint{unix.CAP_SYS_ADMIN, unix.CAP_BPF}},
	{"perf_event_open", []uint{unix.CAP_SYS_ADMIN, unix.CAP_PERFMON}},
	{"syslog", []uint{unix.CAP_SYS_ADMIN, unix.CAP_SYSLOG}},
	{"open_by_handle_at", []uint{unix.CAP_DAC_READ_SEARCH}},
	{"reboot", []uint{unix.CAP_SYS_BOOT}},
	{"chroot", []uint{unix.CAP_SYS_CHROOT}},
	{"init_module finit_module delete_module", []uint{unix.CAP_SYS_MODULE}},
	{"acct", []uint{unix.CAP_SYS_PACCT}},
	{"kcmp pidfd_getfd process_madvise", []uint{unix.CAP_SYS_PTRACE}},
	{"settimeofday clock_settime", []uint{unix.CAP_SYS_TIME}},
	{"vhangup", []uint{unix.CAP_SYS_TTY_CONFIG}},
	{"get_mempolicy set_mempolicy set_mempolicy_home_node mbind", []uint{unix.CAP_SYS_NICE}},
	{"add_key request_key keyctl io_uring_setup io_uring_enter io_uring_register userfaultfd", nil},
	{"kexec_load swapon swapoff pivot_root migrate_pages move_pages nfsservctl", nil},

	{"umount", []uint{unix.CAP_SYS_ADMIN}},
	{"stime clock_settime64", []uint{unix.CAP_SYS_TIME}},
	{"iopl ioperm", []uint{unix.CAP_SYS_RAWIO}},
	{"create_module get_kernel_syms query_module kexec_file_load vm86 vm86old _sysctl sysfs uselib ustat", nil},
	{"pciconfig_iobase pciconfig_read pciconfig_write rtas spu_create spu_run subpage_prot switch_endian", nil},
	{"sys_debug_setcontext sysmips syscall s390_guarded_storage s390_sthyi", nil},
}

const everywhere = 17 // so many of the rows

func TestRefused(t *testing.T) {
	for i, r := range refused {
		var unless uint64
		for _, c := range r.caps {
			unless |= 1 << c
		}
		for name := range strings.FieldsSeq(r.names) {
			nr, ok := number(name)
			if !ok {
				if i < everywhere {
					t.Errorf("%s is in no table", name)
				}
				continue // TestTables says where it is
			}
			for _, caps := range []uint64{0, everything &^ unless} {
				if got := ask(caps, nr, 1, 2, 3, 4, 5, 6); got != "EPERM" {
					t.Errorf("%s with capabilities %#x: %s, want EPERM", name, caps, got)
				}
			}
			for _, c := range r.caps {
				if got := ask(1<<c, nr); got != "allow" {
					t.Errorf("%s with capability %d: %s, want allow", name, c, got)
				}
			}
			if r.caps == nil {
				continue
			}
			if got := ask(everything, nr); got != "allow" {
				t.Errorf("%s with every capability: %s, want allow", name, got)
			}
		}
	}
}

// Of the calls of this one architecture, each is in the golden of names. Here
// each has its answer.
func TestEveryRule(t *testing.T) {
	for _, caps := range []uint64{0, some, everything} {
		for _, r := range Rules(caps) {
			want := "EPERM"
			args := []uint64{0, 0, 0, 0, 0, 0}
			switch r.Name {
			case "clone3":
				want = "ENOSYS"
			case "clone":
				args[0], args[1] = unix.CLONE_NEWUSER, unix.CLONE_NEWUSER
			case "socket":
				args[0] = unix.AF_ALG
			case "personality":
				args[0] = 1
			}
			if got := ask(caps, uint32(r.Number), args...); got != want {
				t.Errorf("%s: %s, want %s", r.Name, got, want)
			}
			if caps != 0 && r.Unless&caps != 0 {
				t.Errorf("%s stays with capabilities %#x, which lift it", r.Name, caps)
			}
			if (r.Errno == unix.ENOSYS) != (want == "ENOSYS") || r.Errno != unix.ENOSYS && r.Errno != unix.EPERM {
				t.Errorf("%s: the table says %v, the filter %s", r.Name, r.Errno, want)
			}
			if r.Why == "" {
				t.Errorf("%s: without a reason", r.Name)
			}
		}
	}
}

// What programs live on. A container that can't do these is of no use.
func TestAllowed(t *testing.T) {
	for _, nr := range []uint32{
		unix.SYS_READ, unix.SYS_WRITE, unix.SYS_OPENAT, unix.SYS_CLOSE, unix.SYS_FSTATFS, unix.SYS_STATX,
		unix.SYS_MPROTECT, unix.SYS_MUNMAP, unix.SYS_BRK, unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK,
		unix.SYS_RT_SIGRETURN, unix.SYS_IOCTL, unix.SYS_FUTEX, unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_KILL,
		unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_WAIT4, unix.SYS_WAITID,
		unix.SYS_PRCTL, unix.SYS_CAPSET, unix.SYS_SETUID, unix.SYS_SETGID, unix.SYS_SETGROUPS, unix.SYS_SECCOMP,
		unix.SYS_CONNECT, unix.SYS_SENDMSG, unix.SYS_RECVMSG, unix.SYS_SOCKETPAIR, unix.SYS_BIND, unix.SYS_LISTEN,
		unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PIDFD_OPEN,
		unix.SYS_ADJTIMEX, unix.SYS_CLOCK_ADJTIME, unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_MKNODAT, unix.SYS_MEMFD_CREATE,
		unix.SYS_GETRANDOM, unix.SYS_RSEQ, unix.SYS_CLOSE_RANGE, unix.SYS_OPENAT2, unix.SYS_FACCESSAT2,
		unix.SYS_EPOLL_PWAIT2, unix.SYS_FUTEX_WAITV, unix.SYS_LANDLOCK_RESTRICT_SELF, unix.SYS_STATMOUNT,
		unix.SYS_MSEAL, unix.SYS_SETXATTRAT, unix.SYS_REMOVEXATTRAT, unix.SYS_RESTART_SYSCALL,
	} {
		for _, caps := range []uint64{0, some, everything} {
			if got := ask(caps, nr, 1, 2, 3, 4, 5, 6); got != "allow" {
				t.Errorf("call %d with capabilities %#x: %s, want allow", nr, caps, got)
			}
		}
	}
}

func TestClone(t *testing.T) {
	const threads = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_THREAD |
		unix.CLONE_SYSVSEM | unix.CLONE_SETTLS | unix.CLONE_PARENT_SETTID | unix.CLONE_CHILD_CLEARTID
	admin := uint64(1 << unix.CAP_SYS_ADMIN)
	for _, test := range []struct {
		flags uint64
		caps  uint64
		want  string
	}{
		{uint64(unix.SIGCHLD), 0, "allow"},
		{threads, 0, "allow"},
		{unix.CLONE_VFORK | unix.CLONE_VM | unix.CLONE_PIDFD | uint64(unix.SIGCHLD), 0, "allow"},
		{0xff, 0, "allow"}, // an exit signal, CLONE_NEWTIME's bit and all
		{unix.CLONE_NEWNS, 0, "EPERM"},
		{unix.CLONE_NEWCGROUP, 0, "EPERM"},
		{unix.CLONE_NEWUTS, 0, "EPERM"},
		{unix.CLONE_NEWIPC, 0, "EPERM"},
		{unix.CLONE_NEWUSER, 0, "EPERM"},
		{unix.CLONE_NEWPID, 0, "EPERM"},
		{unix.CLONE_NEWNET, 0, "EPERM"},
		{unix.CLONE_NEWUSER | threads, some, "EPERM"},
		{unix.CLONE_NEWUSER | 1<<63, some, "EPERM"},
		{unix.CLONE_NEWUSER << 32, some, "allow"}, // the kernel drops that half
		{unix.CLONE_NEWUSER, everything &^ admin, "EPERM"},
		{unix.CLONE_NEWUSER, admin, "allow"},
	} {
		// The other argument is the stack's address, and may have any bits.
		args := []uint64{test.flags, 0}
		other := []uint64{test.flags, 0x7fffffff_ffffffff}
		if runtime.GOARCH == "s390x" {
			slices.Reverse(args)
			slices.Reverse(other)
		}
		for _, args := range [][]uint64{args, other} {
			if got := ask(test.caps, unix.SYS_CLONE, args...); got != test.want {
				t.Errorf("clone(%#x, %#x) with capabilities %#x: %s, want %s", args[0], args[1], test.caps, got, test.want)
			}
		}
	}
	for caps, want := range map[uint64]string{0: "ENOSYS", some: "ENOSYS", everything &^ admin: "ENOSYS", admin: "allow"} {
		if got := ask(caps, unix.SYS_CLONE3); got != want {
			t.Errorf("clone3 with capabilities %#x: %s, want %s", caps, got, want)
		}
	}
}

func TestPersonality(t *testing.T) {
	for arg, want := range map[uint64]string{
		0x00000000: "allow", // PER_LINUX
		0x00000008: "allow", // PER_LINUX32
		0x00020000: "allow", // UNAME26
		0x00020008: "allow",
		0xffffffff: "allow", // ask
		^uint64(0): "allow",
		0x00000001: "EPERM",
		0x00000007: "EPERM",
		0x00000009: "EPERM",
		0x00040000: "EPERM", // ADDR_NO_RANDOMIZE
		0x00400000: "EPERM", // READ_IMPLIES_EXEC
		0x00100000: "EPERM", // MMAP_PAGE_ZERO
		0x00060000: "EPERM",
		0xfffffffe: "EPERM",
		1<<32 | 1:  "EPERM",
		1 << 32:    "allow",
	} {
		for _, caps := range []uint64{0, everything} {
			if got := ask(caps, unix.SYS_PERSONALITY, arg, 0xffffffff); got != want {
				t.Errorf("personality(%#x): %s, want %s", arg, got, want)
			}
		}
	}
}

func TestSocket(t *testing.T) {
	for f := range uint64(64) {
		want := "allow"
		if f == unix.AF_ALG || f == unix.AF_VSOCK {
			want = "EPERM"
		}
		for _, high := range []uint64{0, 1 << 32, 0xffffffff << 32} {
			for _, caps := range []uint64{0, everything} {
				if got := ask(caps, unix.SYS_SOCKET, high|f, unix.SOCK_STREAM, 0); got != want {
					t.Errorf("socket(%#x): %s, want %s", high|f, got, want)
				}
			}
		}
	}
}

// Another ABI's calls end the process, whatever they are.
func TestForeignArchitecture(t *testing.T) {
	here := auditArch()
	const bits64 = 0x8000_0000 // __AUDIT_ARCH_64BIT
	for _, arch := range []uint32{
		0, ^uint32(0), here ^ bits64, here ^ littleEndian, here ^ 1, here | 0x2000_0000,
		unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_AARCH64, unix.AUDIT_ARCH_ARM, unix.AUDIT_ARCH_MIPS,
		unix.AUDIT_ARCH_MIPSEL, unix.AUDIT_ARCH_MIPS64, unix.AUDIT_ARCH_MIPSEL64, unix.AUDIT_ARCH_MIPS64N32,
		unix.AUDIT_ARCH_MIPSEL64N32, unix.AUDIT_ARCH_PPC, unix.AUDIT_ARCH_PPC64, unix.AUDIT_ARCH_PPC64LE,
		unix.AUDIT_ARCH_S390, unix.AUDIT_ARCH_S390X, unix.AUDIT_ARCH_RISCV32, unix.AUDIT_ARCH_RISCV64,
		unix.AUDIT_ARCH_LOONGARCH32, unix.AUDIT_ARCH_LOONGARCH64,
	} {
		if arch == here {
			continue
		}
		for _, caps := range []uint64{0, everything} {
			for _, nr := range []uint32{0, unix.SYS_GETPID, unix.SYS_MOUNT, lastCall, lastCall + 1, ^uint32(0)} {
				d := data{nr: nr, arch: arch}
				if got := verdict(run(Filter(caps), d.bytes(order(here)), order(here)).ret); got != "kill" {
					t.Errorf("call %d of architecture %#x: %s, want kill", nr, arch, got)
				}
			}
		}
	}
}

// The value is the ELF machine, with bits for 64-bit and little-endian
// (linux/audit.h): taken apart here, as a table would be the same twice.
func TestAuditArch(t *testing.T) {
	elf := map[string]uint32{
		"386": 3, "amd64": 62, "arm": 40, "arm64": 183, "loong64": 258, "mips": 8, "mipsle": 8,
		"mips64": 8, "mips64le": 8, "ppc64": 21, "ppc64le": 21, "riscv64": 243, "s390x": 22,
	}
	arch := auditArch()
	if got := arch & 0xffff; got != elf[runtime.GOARCH] {
		t.Errorf("machine %d, want %d", got, elf[runtime.GOARCH])
	}
	if got, want := arch>>31 == 1, bits.UintSize == 64; got != want {
		t.Errorf("64-bit: %v, want %v", got, want)
	}
	one := []byte{1, 0}
	if got, want := arch>>30&1 == 1, binary.NativeEndian.Uint16(one) == 1; got != want {
		t.Errorf("little-endian: %v, want %v", got, want)
	}
	if arch&0x3fff_0000 != 0 {
		t.Errorf("%#x has bits of an ABI that is not the main one", arch)
	}
}

func TestX32(t *testing.T) {
	want := "ENOSYS"
	if runtime.GOARCH == "amd64" {
		want = "kill"
	}
	for _, nr := range []uint32{0, 39, 466, 467, 512, 547, 0x3fff_ffff, 0x4000_0000, 0xbfff_fffe} {
		for _, caps := range []uint64{0, everything} {
			if got := ask(caps, 0x4000_0000|nr); got != want {
				t.Errorf("call %#x: %s, want %s", 0x4000_0000|nr, got, want)
			}
		}
	}
}

func TestUnknownNumbers(t *testing.T) {
	numbers := []uint32{lastCall + 1, lastCall + 2, lastCall + 1000, 1 << 16, 0xeffff, 0xf0000, 0xf0007, 0xfffff, 0x2000_0000, 0x3fff_ffff, ^uint32(0)}
	for _, r := range reserved {
		numbers = append(numbers, r[0], r[1])
	}
	if bits.UintSize == 64 { // calls with 64-bit times, on 32-bit machines
		numbers = append(numbers, firstCall+403, firstCall+410, firstCall+423)
	}
	if first := uint32(firstCall); first > 0 {
		numbers = append(numbers, 0, 39, first-1)
	}
	for _, nr := range numbers {
		for _, caps := range []uint64{0, everything} {
			if got := ask(caps, nr); got != "ENOSYS" {
				t.Errorf("call %d: %s, want ENOSYS", nr, got)
			}
		}
	}
	for nr := uint32(0xf0001); nr <= 0xf0006; nr++ {
		want := "ENOSYS"
		if runtime.GOARCH == "arm" {
			want = "allow" // cacheflush, set_tls
		}
		if got := ask(some, nr); got != want {
			t.Errorf("call %#x: %s, want %s", nr, got, want)
		}
	}
}

// The answer that a program must give, worked out from the rules, call by call.
func want(denied map[uint32]Rule, d data) string {
	if d.arch != auditArch() {
		return "kill"
	}
	if runtime.GOARCH == "amd64" && d.nr >= 0x4000_0000 && d.nr != ^uint32(0) {
		return "kill"
	}
	if runtime.GOARCH == "arm" && d.nr > 0xf0000 && d.nr < 0xf0007 {
		return "allow"
	}
	if d.nr < firstCall || d.nr > lastCall {
		return "ENOSYS"
	}
	for _, r := range reserved {
		if d.nr >= r[0] && d.nr <= r[1] {
			return "ENOSYS"
		}
	}
	r, ok := denied[d.nr]
	if !ok {
		return "allow"
	}
	arg := uint32(d.args[0])
	switch r.Name {
	case "clone3":
		return "ENOSYS"
	case "clone":
		if runtime.GOARCH == "s390x" {
			arg = uint32(d.args[1])
		}
		if arg&0x7e020000 == 0 {
			return "allow"
		}
	case "personality":
		if arg == 0 || arg == 8 || arg == 0x20000 || arg == 0x20008 || arg == 0xffffffff {
			return "allow"
		}
	case "socket":
		if arg != 38 && arg != 40 {
			return "allow"
		}
	}
	return "EPERM"
}

func denied(caps uint64) map[uint32]Rule {
	m := map[uint32]Rule{}
	for _, r := range Rules(caps) {
		m[uint32(r.Number)] = r
	}
	return m
}

// Each subset of the capabilities that matter makes a program of its own. All
// of them are tried: none is longer than a jump reaches, and each gives every
// number the answer that the rules say.
func TestEveryProgram(t *testing.T) {
	var matter []uint64
	for c := range 64 {
		if slices.ContainsFunc(groups[:], func(g group) bool { return g.unless>>c&1 == 1 }) {
			matter = append(matter, 1<<c)
		}
	}
	if len(matter) < 10 || len(matter) > 16 {
		t.Fatalf("%d capabilities lift rules", len(matter))
	}
	longest, deepest := 0, 0
	o := order(auditArch())
	memory := data{arch: auditArch()}.bytes(o)
	for set := range 1 << len(matter) {
		var caps uint64
		for i, c := range matter {
			if set>>i&1 == 1 {
				caps |= c
			}
		}
		prog := Filter(caps)
		if err := check(prog); err != nil {
			t.Fatalf("capabilities %#x: %v", caps, err)
		}
		longest = max(longest, len(prog))
		// All numbers, for one set in some.
		if set%61 != 0 && set != 1<<len(matter)-1 {
			continue
		}
		rules := denied(caps)
		for nr := uint32(0); nr < lastCall+600; nr++ {
			o.PutUint32(memory, nr)
			out := run(prog, memory, o)
			deepest = max(deepest, out.steps)
			if got, want := verdict(out.ret), want(rules, data{nr: nr, arch: auditArch()}); got != want {
				t.Fatalf("capabilities %#x, call %d: %s, want %s", caps, nr, got, want)
			}
			// The kernel's cache takes a call only if it is allowed with
			// nothing but its number looked at.
			if argument := nr == unix.SYS_CLONE && caps&(1<<unix.CAP_SYS_ADMIN) == 0 || nr == unix.SYS_PERSONALITY || nr == unix.SYS_SOCKET; out.args != argument {
				t.Fatalf("capabilities %#x, call %d: looks at arguments: %v", caps, nr, out.args)
			}
		}
	}
	if longest > 256 {
		t.Errorf("%d instructions: jumps may be too far", longest)
	}
	t.Logf("at most %d instructions, %d of them on a call's way", longest, deepest)
}

// Offsets of arguments follow the byte order of the architecture.
func TestByteOrder(t *testing.T) {
	list := []stretch{{0, cloneFlags}, {1, persona}, {2, family}, {3, allow}}
	for _, arch := range []uint32{unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_S390X, unix.AUDIT_ARCH_MIPS, unix.AUDIT_ARCH_MIPSEL} {
		prog := assemble(arch, list)
		for _, test := range []struct {
			nr   uint32
			arg  uint64
			want string
		}{
			{0, unix.CLONE_NEWNS, "EPERM"},
			{0, unix.CLONE_NEWNS << 32, "allow"},
			{1, 8, "allow"},
			{1, 8 << 32, "allow"},
			{1, 9, "EPERM"},
			{2, unix.AF_VSOCK, "EPERM"},
			{2, unix.AF_VSOCK << 32, "allow"},
			{3, 0, "allow"},
		} {
			d := data{nr: test.nr, arch: arch}
			d.args[0] = test.arg
			if test.nr == 0 {
				d.args[0], d.args[cloneFlagsArgument()] = 0, test.arg
			}
			if got := verdict(run(prog, d.bytes(order(arch)), order(arch)).ret); got != test.want {
				t.Errorf("architecture %#x, call %d, argument %#x: %s, want %s", arch, test.nr, test.arg, got, test.want)
			}
		}
	}
}

// What no capability lifts, on any architecture, is lifted by none here.
func TestGroups(t *testing.T) {
	never := []int{roots, oldModules, kexec, swap, keys, uring, faults, pages, behaviours, sockets, machine, old}
	for id, g := range groups {
		if g.answer == allow || g.answer == kill {
			t.Errorf("group %d (%s) is no refusal", id, g.why)
		}
		if got := g.unless == 0; got != slices.Contains(never, id) {
			t.Errorf("group %d (%s): capabilities %#x lift it", id, g.why, g.unless)
		}
	}
}

func TestRulesGoWithCapabilities(t *testing.T) {
	names := func(caps uint64) string {
		var list []string
		for _, r := range Rules(caps) {
			list = append(list, r.Name)
		}
		return fmt.Sprint(list)
	}
	if len(Rules(everything)) >= len(Rules(some)) || len(Rules(some)) >= len(Rules(0)) {
		t.Error("capabilities lift nothing")
	}
	if strings.Contains(names(some), "chroot") || !strings.Contains(names(0), "chroot") {
		t.Error("CAP_SYS_CHROOT does not lift chroot")
	}
	if strings.Contains(names(everything), "mount") || !strings.Contains(names(everything), "io_uring_setup") {
		t.Errorf("with every capability: %s", names(everything))
	}
}
