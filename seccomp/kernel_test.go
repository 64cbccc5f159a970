//go:build linux

package seccomp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"container/integration/need"
)

// These tests load programs into the kernel. With no_new_privs anybody may.
// A filter stays for good, so each is loaded in a process of its own, or by a
// thread that ends.

// role says to a process what it is to do instead of the tests.
const role = "SECCOMP_TEST_ROLE"

func TestMain(m *testing.M) {
	roles := map[string]func() error{"probe": probe, "container": beContained, "child": beChild, "x32": callX32, "exec": execForeign}
	if f := roles[os.Getenv(role)]; f != nil {
		if err := f(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// play runs this test's program in a role and gives how it ended and what it
// said.
func play(t *testing.T, what string, args ...string) (unix.WaitStatus, string) {
	t.Helper()
	needSeccomp(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), role+"="+what)
	out, err := cmd.CombinedOutput()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return unix.WaitStatus(cmd.ProcessState.Sys().(syscall.WaitStatus)), string(out)
}

// needSeccomp skips where the kernel has no filters (qemu's user mode).
func needSeccomp(t testing.TB) {
	t.Helper()
	_, _, errno := unix.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, 0)
	if errno == unix.EFAULT {
		return // it would have read the program
	}
	need.Skip(t, "needs a kernel that takes filters (CONFIG_SECCOMP_FILTER): "+errno.Error())
}

// load puts a filter on this thread, or on all of the process. The thread must
// be locked.
func load(prog []unix.SockFilter, flags uintptr) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&fprog)))
	runtime.KeepAlive(prog)
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}

// asked is a call that is made in a probe, and what came of it.
type asked struct {
	nr    uint32
	args  [6]uintptr
	errno unix.Errno
}

// seen is what the kernel shows of the call to the filter.
func (c asked) seen() data {
	d := data{nr: c.nr, arch: auditArch()}
	args := c.args
	switch runtime.GOARCH {
	case "s390x": // it looks at 16 bits of a number
		d.nr &= 0xffff
	case "mips", "mipsle": // it looks through syscall(2)
		if c.nr == firstCall {
			d.nr = uint32(args[0])
			copy(args[:], args[1:])
		}
	}
	for i, a := range args {
		d.args[i] = uint64(a)
	}
	return d
}

// marks are the errors that stand for answers in a probe. The kernel lets no
// errno be larger than 4095.
var marks = map[uint32]unix.Errno{
	unix.SECCOMP_RET_ALLOW:                       3001,
	unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM):  3002,
	unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS): 3003,
	unix.SECCOMP_RET_KILL_PROCESS:                3004,
}

// The kernel's machine gives every call the answer that the one in this test
// gives. So that all numbers can be tried, even exit's and reboot's, no call
// is made: each answer is replaced by an error of its own.
func TestKernelAgrees(t *testing.T) {
	if status, out := play(t, "probe"); status != 0 {
		t.Errorf("status %#x:\n%s", status, out)
	}
}

func probe() error {
	// Nothing may stop a thread once it can't call the kernel any more.
	debug.SetGCPercent(-1)
	runtime.GOMAXPROCS(8) // each such thread keeps one busy
	for _, caps := range []uint64{0, some, everything} {
		prog := Filter(caps)
		marked := slices.Clone(prog)
		for i := range marked {
			if marked[i].Code == opRet {
				marked[i].K = unix.SECCOMP_RET_ERRNO | uint32(marks[marked[i].K])
			}
		}

		var calls []asked
		for nr := range uint32(lastCall + 700) {
			// These two, of uprobes, the kernel keeps from filters, and gives
			// SIGILL to who makes them by himself (seccomp_uprobe_exception).
			if runtime.GOARCH != "amd64" || nr != 335 && nr != 336 {
				calls = append(calls, asked{nr: nr})
			}
		}
		for nr := uint32(0xeffff); nr < 0xf0009; nr++ {
			calls = append(calls, asked{nr: nr})
		}
		for _, nr := range []uint32{1 << 29, 1<<30 - 1, 1 << 30, 1<<30 + 39, 1<<30 + 466, 1<<31 - 1} {
			calls = append(calls, asked{nr: nr})
		}
		for _, nr := range []uint32{unix.SYS_CLONE, unix.SYS_CLONE3, unix.SYS_PERSONALITY, unix.SYS_SOCKET, unix.SYS_MOUNT} {
			for bit := range 64 {
				arg := uintptr(uint64(1) << bit) // 0 from bit 32 on, on 32-bit machines
				for _, a := range []uintptr{arg, arg - 1, ^arg, arg | 8, arg | 38, arg | 40} {
					calls = append(calls,
						asked{nr: nr, args: [6]uintptr{a, 0, 1, 2, 3, 4}},
						asked{nr: nr, args: [6]uintptr{0, a, 1, 2, 3, 4}},
						asked{nr: firstCall, args: [6]uintptr{uintptr(nr), a, 1, 2, 3, 4}})
				}
			}
		}

		failed := make(chan error, 1)
		go func() {
			runtime.LockOSThread()
			var all [4]uint32
			for i := range all {
				all[i] = ^uint32(0)
			}
			size := uintptr(8)
			if strings.HasPrefix(runtime.GOARCH, "mips") {
				size = 16
			}
			unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&all)), 0, size, 0, 0)
			err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
			if err == nil {
				err = makeCalls(&unix.SockFprog{Len: uint16(len(marked)), Filter: &marked[0]}, calls)
			}
			failed <- err
		}()
		for slices.ContainsFunc(calls, func(c asked) bool { return c.errno == 0 }) {
			select {
			case err := <-failed:
				return err
			case <-time.After(time.Millisecond):
			}
		}

		o := order(auditArch())
		for _, c := range calls {
			d := c.seen()
			if want := marks[run(prog, d.bytes(o), o).ret]; c.errno != want {
				return fmt.Errorf("capabilities %#x, call %d %#x: answer %d from the kernel, %d from the test's machine", caps, c.nr, c.args, c.errno, want)
			}
		}
	}
	return nil
}

// makeCalls loads the program and makes the calls, over and over: a thread that
// can't call the kernel can't end either. Nor can it grow its stack, wake
// another or serve the race detector (unix.RawSyscall6 does). That a call was
// made shows in its errno, which is other than 0 then.
//
//go:nosplit
//go:norace
func makeCalls(prog *unix.SockFprog, calls []asked) error {
	_, _, errno := syscall.RawSyscall6(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(prog)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	for {
		for i := range calls {
			c := &calls[i]
			_, _, c.errno = syscall.RawSyscall6(uintptr(c.nr), c.args[0], c.args[1], c.args[2], c.args[3], c.args[4], c.args[5])
		}
	}
}

// A Go program lives under the filter as it is, and is refused what it must be.
func TestKernelContains(t *testing.T) {
	if status, out := play(t, "container"); status != 0 {
		t.Errorf("status %#x:\n%s", status, out)
	}
}

func beContained() error {
	runtime.LockOSThread()
	if err := load(Filter(some), unix.SECCOMP_FILTER_FLAG_TSYNC); err != nil {
		return err
	}
	null := uintptr(0)
	bad := ^uintptr(0)
	empty := []byte{0}
	for _, c := range []struct {
		name string
		nr   uintptr
		args [3]uintptr
		want unix.Errno
	}{
		{"getpid", unix.SYS_GETPID, [3]uintptr{}, 0},
		{"prctl", unix.SYS_PRCTL, [3]uintptr{unix.PR_GET_NO_NEW_PRIVS}, 0},
		{"adjtimex", unix.SYS_ADJTIMEX, [3]uintptr{}, unix.EFAULT},
		{"chroot, which Docker's capabilities allow", unix.SYS_CHROOT, [3]uintptr{null}, unix.EFAULT},
		{"personality, asking", unix.SYS_PERSONALITY, [3]uintptr{0xffffffff}, 0},
		{"personality ADDR_NO_RANDOMIZE", unix.SYS_PERSONALITY, [3]uintptr{0x40000}, unix.EPERM},
		{"mount", unix.SYS_MOUNT, [3]uintptr{bad, bad, bad}, unix.EPERM},
		{"fsopen", unix.SYS_FSOPEN, [3]uintptr{bad}, unix.EPERM},
		{"setns", unix.SYS_SETNS, [3]uintptr{bad}, unix.EPERM},
		{"unshare of nothing", unix.SYS_UNSHARE, [3]uintptr{0}, unix.EPERM},
		{"unshare CLONE_NEWUSER", unix.SYS_UNSHARE, [3]uintptr{unix.CLONE_NEWUSER}, unix.EPERM},
		{"clone CLONE_NEWUSER", unix.SYS_CLONE, [3]uintptr{unix.CLONE_NEWUSER, unix.CLONE_NEWUSER}, unix.EPERM},
		{"clone3", unix.SYS_CLONE3, [3]uintptr{null, 0}, unix.ENOSYS},
		{"keyctl", unix.SYS_KEYCTL, [3]uintptr{0, bad}, unix.EPERM},
		{"io_uring_setup", unix.SYS_IO_URING_SETUP, [3]uintptr{1, null}, unix.EPERM},
		{"userfaultfd", unix.SYS_USERFAULTFD, [3]uintptr{1}, unix.EPERM},
		{"bpf", unix.SYS_BPF, [3]uintptr{bad}, unix.EPERM},
		{"perf_event_open", unix.SYS_PERF_EVENT_OPEN, [3]uintptr{null}, unix.EPERM},
		{"get_mempolicy", unix.SYS_GET_MEMPOLICY, [3]uintptr{}, unix.EPERM},
		{"sethostname", unix.SYS_SETHOSTNAME, [3]uintptr{uintptr(unsafe.Pointer(&empty[0])), bad}, unix.EPERM},
		{"socket AF_ALG", unix.SYS_SOCKET, [3]uintptr{unix.AF_ALG, unix.SOCK_SEQPACKET}, unix.EPERM},
		{"socket AF_VSOCK", unix.SYS_SOCKET, [3]uintptr{unix.AF_VSOCK, unix.SOCK_STREAM}, unix.EPERM},
		{"the next call that Linux will get", lastCall + 200, [3]uintptr{}, unix.ENOSYS},
	} {
		if _, _, errno := unix.RawSyscall(c.nr, c.args[0], c.args[1], c.args[2]); errno != c.want {
			return fmt.Errorf("%s: %v, want %v", c.name, errno, c.want)
		}
	}

	// What a program does all the time: files, sockets, threads, children.
	if _, err := os.ReadFile("/proc/self/status"); err != nil {
		return err
	}
	if fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return fmt.Errorf("socket AF_INET: %w", err)
	} else {
		_ = unix.Close(fd)
	}
	thread := make(chan int)
	go func() {
		runtime.LockOSThread()
		thread <- unix.Gettid()
	}()
	if <-thread == unix.Gettid() {
		return fmt.Errorf("no thread was made")
	}
	// The child is of this architecture, which the system's shell need not be.
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), role+"=child")
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "child\n" {
		return fmt.Errorf("a child: %v, %q", err, out)
	}
	return nil
}

func beChild() error {
	_, err := fmt.Println("child")
	return err
}

// A call of the x32 ABI ends the process, even if the kernel has none.
func TestKernelKillsX32(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("x32 is amd64's")
	}
	if status, out := play(t, "x32"); !status.Signaled() || status.Signal() != unix.SIGSYS {
		t.Errorf("status %#x, want the end by SIGSYS:\n%s", status, out)
	}
}

func callX32() error {
	runtime.LockOSThread()
	if err := load(Filter(everything), 0); err != nil {
		return err
	}
	_, _, errno := unix.RawSyscall(0x4000_0000|unix.SYS_GETPID, 0, 0, 0)
	return fmt.Errorf("x32's getpid: %v", errno)
}

// Programs that say exit(42) to a kernel of the x86 family, as small as an ELF
// file can be.
var foreign = []struct {
	name   string
	goarch string // where it is foreign
	bits   int
	code   []byte
}{
	{"i386 program", "amd64", 32, []byte{
		0xb8, 1, 0, 0, 0, // mov $1, %eax (exit)
		0xbb, 42, 0, 0, 0, // mov $42, %ebx
		0xcd, 0x80, // int $0x80
	}},
	{"x86-64 program with an i386 call", "amd64", 64, []byte{
		0xb8, 1, 0, 0, 0,
		0xbb, 42, 0, 0, 0,
		0xcd, 0x80,
	}},
	{"x86-64 program", "386", 64, []byte{
		0xb8, 60, 0, 0, 0, // mov $60, %eax (exit)
		0xbf, 42, 0, 0, 0, // mov $42, %edi
		0x0f, 0x05, // syscall
	}},
}

func TestKernelKillsForeign(t *testing.T) {
	for _, f := range foreign {
		if f.goarch != runtime.GOARCH {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "foreign")
			if err := os.WriteFile(file, elf(f.bits, f.code), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := exec.Command(file).Run(); err == nil || !strings.Contains(err.Error(), "42") {
				need.Skip(t, fmt.Sprintf("needs a kernel that runs it without a filter (CONFIG_IA32_EMULATION): %v", err))
			}
			if status, out := play(t, "exec", file); !status.Signaled() || status.Signal() != unix.SIGSYS {
				t.Errorf("status %#x, want the end by SIGSYS:\n%s", status, out)
			}
		})
	}
}

func execForeign() error {
	runtime.LockOSThread()
	if err := load(Filter(some), 0); err != nil {
		return err
	}
	return fmt.Errorf("execve: %w", unix.Exec(os.Args[1], os.Args[1:], nil))
}

// elf is an executable of one segment (elf(5)).
func elf(bits int, code []byte) []byte {
	const base, pf = 0x10000, 5 // readable and executable
	b := []byte{0x7f, 'E', 'L', 'F', byte(bits / 32), 1, 1, 15: 0}
	u16 := func(v uint16) { b = binary.LittleEndian.AppendUint16(b, v) }
	u32 := func(v uint32) { u16(uint16(v)); u16(uint16(v >> 16)) }
	word := func(v uint32) {
		u32(v)
		if bits == 64 {
			u32(0)
		}
	}
	header, segment := uint32(52), uint32(32)
	machine := uint16(3)
	if bits == 64 {
		header, segment, machine = 64, 56, 62
	}
	start := header + segment
	size := start + uint32(len(code))

	u16(2) // ET_EXEC
	u16(machine)
	u32(1)
	word(base + start) // entry
	word(header)       // program headers
	word(0)
	u32(0)
	u16(uint16(header))
	u16(uint16(segment))
	u16(1)
	u16(0)
	u16(0)
	u16(0)

	u32(1) // PT_LOAD
	if bits == 64 {
		u32(pf)
	}
	word(0)
	word(base)
	word(base)
	word(size)
	word(size)
	if bits == 32 {
		u32(pf)
	}
	word(0x1000)
	return append(b, code...)
}
