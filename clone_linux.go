package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall" //nolint:depguard // ForkLock is nowhere else
	"unsafe"

	"golang.org/x/sys/unix"

	"container/nl"
)

// A child made by clone shares nothing with the Go runtime: it is one thread
// with a copy of the memory, in which some other thread may have held any lock
// at the moment of the copy. So between clone and execve (and for good, in a
// child that never calls execve) these rules hold:
//
//   - no allocation, and no growing of the stack: the functions that run there
//     are nosplit, and whatever they need was made before;
//   - no lock, no channel, no map, no interface, no panic, no defer;
//   - no call but a raw system call, or one of the functions of this file that
//     say that they keep these rules;
//   - no signal handler: all signals are blocked before clone, and only the
//     command, at its execve, gets them back.
//
// TestChildCallsNothing disassembles the compiled functions and holds them to
// the third rule; the compiler holds them to the nosplit limit.
//
// What the child does is therefore data: a list of steps that runChild walks.

// step is one system call of a child.
type step struct {
	text string // what it does, for messages: "mount proc on /proc"
	trap uint32
	skip int32 // so many steps behind it stand in for it: success leaves them out
	args [6]uintptr

	want uintptr   // the result it must have, or anyResult
	pass [4]uint16 // errors that are as good as success; EDQUOT is 1133 on MIPS

	// Of a recvfrom that is to find nothing: where the kernel's refusal of a
	// netlink message is, if there is one. The report has its errno then.
	refusal *[refusalSize]byte

	sends *sending // nil: nothing of interest
}

// sending is, for the narrator, the messages that a step sends.
type sending struct {
	family int
	reqs   []nl.Request
}

// anyResult takes every result that is not an error.
const anyResult = ^uintptr(0)

// noResult takes none: the step must fail, with an error that it passes.
const noResult = anyResult - 1

// A refusal is struct nlmsghdr, struct nlmsgerr, which begins with an errno below
// zero, and what it is about (linux/netlink.h).
const (
	refusalSize  = 64
	refusalErrno = unix.SizeofNlMsghdr
)

// report is what a child sends up its line when a step fails, or when it has
// come to its end.
type report struct {
	step  int32 // index in setUp, command and after, one behind the other
	errno int32 // 0 when the result was not the wanted one
}

// Numbers of steps that are in none of these lists: the first of program.instead's,
// the cloning of a brother, and a signal's handler (resetHandlers).
const (
	insteadStep = -1 << 20
	cloneStep   = insteadStep - 1
	handlerStep = insteadStep - 2
)

// forkStep is the number of the fork of the command's process, which is in no
// list either.
const forkStep = -1

const reportSize = unsafe.Sizeof(report{})

// program is what a child does. Build it, then hand it to clone.
type program struct {
	// The child runs setUp. If there is a command, the child then forks, its
	// own child runs command, and it goes on with after and becomes the init
	// of its PID namespace (superviseChild). Without one it ends.
	setUp, command, after []step

	// A guardian's: between setUp and after it clones another program, which
	// becomes its brother. When after is done the guardian does what it was told by
	// then, and last (guardian.go).
	brother *program
	shared  []byte // what it has in common with the runner:
	orders  *orders
	room    []byte // behind orders, not used yet
	ordered []step // orders.steps, with their texts
	last    []step

	line uintptr // descriptor of the child's end of its line to the parent

	// Of the container that it is about to join: the pidfd of its first process,
	// and the directory of that in /proc. 0 is none.
	target, targetDir uintptr

	mask    sigset    // the parent's signal mask, which the command gets back
	all     sigset    // every signal
	info    [128]byte // siginfo_t, linux/asm-generic/siginfo.h
	failure report
	status  int32 // of a process that was waited for
	pidfd   int32

	slave uintptr // the terminal's slave end, which the command gets

	args  cloneArgs
	size  uintptr // of args, as far as it is used
	plain bool    // it was clone(2) that made the child

	// What clone(2) leaves undone: the resetting of signal handlers, but of those
	// that are ignored. A zeroed struct kernel_sigaction is SIG_DFL, with no flags
	// and no mask.
	ignored [65]bool
	action  [8]uintptr

	// How the child enters its cgroup of version 2 when it isn't cloned there.
	instead []step

	// What ps(1) shows of the child: the bytes of title replace those at argv.
	argv  unsafe.Pointer
	title []byte

	wiped []region // what the child empties: memory of the parent's that it has a copy of

	// What the steps' addresses point to: bytes, and what else. text is room for
	// more of the bytes.
	bytes [][]byte
	keep  []any
	text  []byte
}

// region is a stretch of memory.
type region struct {
	at   unsafe.Pointer
	size int
}

// name names the child in place of the runner, whose command line it has a
// copy of. That is for the host's eyes: it tells of the host's paths and ports.
// The kernel reads the memory at which the process's arguments were put
// (/proc/PID/cmdline), which Go's os.Args point to.
func (p *program) name(title string) {
	first, last := os.Args[0], os.Args[len(os.Args)-1]
	if first == "" || last == "" {
		return
	}
	start := uintptr(unsafe.Pointer(unsafe.StringData(first)))
	end := uintptr(unsafe.Pointer(unsafe.StringData(last))) + uintptr(len(last))
	if end <= start || end-start > maxArguments {
		return // they are not where the kernel put them
	}
	p.argv = unsafe.Pointer(unsafe.StringData(first))
	p.title = make([]byte, end-start)
	copy(p.title[:len(p.title)-1], title)
	p.setUp = append(p.setUp, call("prctl PR_SET_NAME", unix.SYS_PRCTL, unix.PR_SET_NAME, p.str(title)))
	p.forgetEnvironment(end)
}

// forgetEnvironment has the child forget the caller's environment, for those in
// the container who may read its memory: where the kernel has put it, between
// the arguments, which end before last, and the program's name
// (/proc/PID/environ), and where Go keeps a copy. The command has its own by
// then, wherever that is from.
func (p *program) forgetEnvironment(last uintptr) {
	environment := os.Environ()
	p.wiped = make([]region, 0, len(environment)+1)
	if name := auxiliary(atExecFn); name > last && name-last <= maxArguments {
		p.wiped = append(p.wiped, region{unsafe.Add(p.argv, len(p.title)), int(name - last)})
	}
	for _, e := range environment {
		p.wiped = append(p.wiped, region{unsafe.Pointer(unsafe.StringData(e)), len(e)})
	}
}

// auxiliary is an entry of the vector that the kernel hands a program
// (getauxval(3)), or 0.
func auxiliary(key uintptr) uintptr {
	vector, err := unix.Auxv()
	if err != nil {
		return 0
	}
	for _, entry := range vector {
		if entry[0] == key {
			return entry[1]
		}
	}
	return 0
}

// Of linux/auxvec.h.
const (
	atSecure = 23 // the program was given rights that its caller hasn't got
	atExecFn = 31 // the program's name, as execve was told it
)

// maxArguments is the most that the kernel takes (MAX_ARG_STRINGS is larger,
// but a quarter of the stack's limit is less: execve(2)).
const maxArguments = 6 << 20

// sigset is the kernel's sigset_t: 64 signals, or 128 on MIPS.
type sigset [4]uint32

// sigsetSize is how many bytes of it the kernel takes. It keeps the rules at the
// head of this file.
//
//go:nosplit
//go:norace
func sigsetSize() uintptr {
	if runtime.GOARCH == "mips" || runtime.GOARCH == "mipsle" || runtime.GOARCH == "mips64" || runtime.GOARCH == "mips64le" {
		return 16
	}
	return 8
}

// cloneArgs is the kernel's structure. Its first version, which every clone3
// takes, ends with tls.
//
//	struct clone_args {
//		__aligned_u64 flags;
//		__aligned_u64 pidfd;
//		__aligned_u64 child_tid;
//		__aligned_u64 parent_tid;
//		__aligned_u64 exit_signal;
//		__aligned_u64 stack;
//		__aligned_u64 stack_size;
//		__aligned_u64 tls;
//		__aligned_u64 set_tid;
//		__aligned_u64 set_tid_size;
//		__aligned_u64 cgroup;
//	};
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls uint64
	setTID, setTIDSize, cgroup                                           uint64
}

const cloneArgsSize0 = unsafe.Offsetof(cloneArgs{}.setTID)

// clone starts a child that runs the program in new namespaces (CLONE_NEW…
// flags) and returns its process id and a pidfd. Linux 5.3 has clone3, 5.5 its
// flag that resets signal handlers; with an older one, or where a seccomp
// filter refuses it, clone(2) does the same in more steps.
//
// The child asks to be killed when the thread that made it ends
// (PR_SET_PDEATHSIG). Go ends a thread only when a goroutine ends that is
// locked to it, and no goroutine of this program locks its thread
// (TestNoLockedThreads), so that is when the process ends. Locking the
// goroutine here instead costs: each thread that the runtime starts from then on
// goes through a further one (signal.Notify took 0.75 ms, and 0.3 without).
//
// cgroup is a descriptor of the cgroup v2 directory that the child starts in,
// or -1 for the parent's own. Where clone(2) has to do (p.plain), it starts in
// the parent's, and goes to its own by p.instead. The pidfd is -1 before Linux 5.2.
func (p *program) clone(flags uint64, cgroup int) (pid int, pidfd int, err error) {
	p.prepare(flags, cgroup)
	p.args.exitSignal = uint64(unix.SIGCHLD)
	for sig := range p.ignored {
		p.ignored[sig] = signal.Ignored(unix.Signal(sig))
	}

	p.withhold()
	// Nobody else's fork may happen while descriptors are half made.
	syscall.ForkLock.Lock()
	n, errno := rawClone(p)
	syscall.ForkLock.Unlock()
	runtime.KeepAlive(p)
	if errno != 0 {
		return 0, 0, cloneError(errno)
	}
	return int(n), int(p.pidfd), nil
}

// prepare sets what the cloning of a program takes.
func (p *program) prepare(flags uint64, cgroup int) {
	for i := range p.all {
		p.all[i] = ^uint32(0)
	}
	p.args = cloneArgs{
		flags: flags | unix.CLONE_PIDFD | unix.CLONE_CLEAR_SIGHAND,
		pidfd: uint64(uintptr(unsafe.Pointer(&p.pidfd))),
	}
	p.pidfd = -1
	p.size = cloneArgsSize0
	if cgroup >= 0 {
		p.args.flags |= unix.CLONE_INTO_CGROUP
		p.args.cgroup = uint64(cgroup)
		p.size = unsafe.Sizeof(p.args)
	}
}

func cloneError(errno unix.Errno) error { return fmt.Errorf("clone: %w%s", errno, cloneAdvice(errno)) }

func cloneAdvice(errno unix.Errno) string {
	switch errno {
	case unix.EINVAL:
		return " (the kernel lacks one of CONFIG_NAMESPACES, UTS_NS, IPC_NS, PID_NS, NET_NS, CGROUPS)"
	case unix.EPERM:
		return " (it takes CAP_SYS_ADMIN, and no seccomp filter in the way)"
	case unix.ENOSPC:
		return " (the limit of namespaces is reached: sysctl user.max_net_namespaces and its like)"
	case unix.EAGAIN:
		return " (the limit of processes is reached: ulimit -u, -pids-limit, or pids.max of a cgroup above)"
	}
	return ""
}

// rawClone clones, and in the child never returns. It keeps the rules at the
// head of this file.
//
//go:nosplit
//go:noinline
//go:norace
func rawClone(p *program) (uintptr, unix.Errno) {
	unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK,
		uintptr(unsafe.Pointer(&p.all)), uintptr(unsafe.Pointer(&p.mask)), sigsetSize(), 0, 0)

	pid, errno := cloneProcess(p)
	if errno == 0 && pid == 0 {
		if p.plain {
			resetHandlers(p)
			runChild(p, p.instead, insteadStep)
		}
		if p.brother != nil {
			p = runGuardian(p)
		}
		runProgram(p)
	}
	unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK,
		uintptr(unsafe.Pointer(&p.mask)), 0, sigsetSize(), 0, 0)
	return pid, errno
}

// cloneProcess makes the process for a program, and returns in both. It keeps
// the rules at the head of this file.
//
//go:nosplit
//go:norace
func cloneProcess(p *program) (uintptr, unix.Errno) {
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE3,
		uintptr(unsafe.Pointer(&p.args)), p.size, 0, 0, 0, 0)
	// ENOSYS before 5.3, EINVAL before 5.5, E2BIG before 5.7 for a cgroup, EPERM
	// from a seccomp filter that does not know clone3. clone(2) gives the true answer.
	if errno == unix.ENOSYS || errno == unix.EINVAL || errno == unix.EPERM || errno == unix.E2BIG {
		p.plain = true
		flags := uintptr(p.args.flags&^(unix.CLONE_CLEAR_SIGHAND|unix.CLONE_INTO_CGROUP)) | uintptr(p.args.exitSignal)
		pid, errno = oldClone(flags, uintptr(unsafe.Pointer(&p.pidfd)))
		if errno == unix.EINVAL {
			pid, errno = oldClone(flags&^unix.CLONE_PIDFD, 0)
		}
	}
	return pid, errno
}

// oldClone is clone(2), whose first two arguments are swapped on s390x
// (CONFIG_CLONE_BACKWARDS2). It keeps the rules at the head of this file.
//
//go:nosplit
//go:norace
func oldClone(flags, parentTID uintptr) (uintptr, unix.Errno) {
	a, b := flags, uintptr(0)
	if runtime.GOARCH == "s390x" {
		a, b = b, a
	}
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, a, b, parentTID, 0, 0, 0)
	return pid, errno
}

// resetHandlers gives every signal its default action, but those that are
// ignored stay so, as clone3 has it. It keeps the rules at the head of this file.
//
//go:nosplit
//go:norace
func resetHandlers(p *program) {
	for sig := uintptr(1); sig <= 64; sig++ {
		if p.ignored[sig] {
			continue
		}
		_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&p.action)), 0, sigsetSize(), 0, 0)
		if errno != 0 && errno != unix.EINVAL { // SIGKILL and SIGSTOP have none
			failChild(p, handlerStep, errno)
		}
	}
}

// runProgram is the child. It keeps the rules at the head of this file, and
// does not return.
//
//go:nosplit
//go:norace
func runProgram(p *program) {
	command := int32(len(p.setUp))
	nameChild(p)
	runChild(p, p.setUp, 0)
	if len(p.command) == 0 {
		exitChild(0)
	}
	pid, errno := oldClone(uintptr(unix.SIGCHLD), 0)
	if errno != 0 {
		failChild(p, forkStep, errno)
	}
	if pid == 0 {
		runChild(p, p.command, command)
		exitChild(statusSetup)
	}
	runChild(p, p.after, command+int32(len(p.command)))
	superviseChild(p, pid)
}

// runGuardian is the child that makes another, the container's first process,
// and returns only there, with the program for it. Every signal has its default
// action here, and so it has there. It keeps the rules at the head of this file.
//
//go:nosplit
//go:norace
func runGuardian(p *program) *program {
	nameChild(p)
	runChild(p, p.setUp, 0)
	b := p.brother
	b.mask = p.mask
	pid, errno := cloneProcess(b)
	if errno != 0 {
		failChild(p, cloneStep, errno)
	}
	told := p.orders
	told.plain = b.plain
	if pid == 0 {
		sayMade(p)
		if b.plain {
			runChild(b, b.instead, insteadStep)
		}
		return b
	}
	told.pid = int32(pid)
	base := int32(len(p.setUp))
	runChild(p, p.after, base)
	base += int32(len(p.after))
	if told.claimed != 0 {
		runChild(p, told.steps[:], base)
	}
	runChild(p, p.last, base+int32(len(told.steps)))
	exitChild(0)
	return nil
}

// sayMade is the guardian's first step after the cloning of its brother, done by
// the brother: it is chance which of the two the kernel has run first. If it fails,
// that is no harm, for the guardian says the same. It keeps the rules at the head of
// this file.
//
//go:nosplit
//go:noinline
//go:norace
func sayMade(p *program) {
	s := unsafe.SliceData(p.after)
	unix.RawSyscall6(uintptr(s.trap), s.args[0], s.args[1], s.args[2], 0, 0, 0)
}

// nameChild puts the child's title in place of the runner's command line, and
// nothing in place of its environment. It keeps the rules at the head of this file.
//
//go:nosplit
//go:norace
func nameChild(p *program) {
	title := p.title
	for i := range title {
		*(*byte)(unsafe.Add(p.argv, i)) = title[i]
	}
	for _, r := range p.wiped {
		for i := range r.size {
			*(*byte)(unsafe.Add(r.at, i)) = 0
		}
	}
}

// runChild walks steps, the first of which is number base. When one fails it
// says so to the parent and ends the process. It keeps the rules at the head of this file.
//
//go:nosplit
//go:noinline
//go:norace
func runChild(p *program, steps []step, base int32) {
	skip := int32(0)
	for i := range steps {
		if skip > 0 {
			skip--
			continue
		}
		s := &steps[i]
		r, _, errno := unix.RawSyscall6(uintptr(s.trap), s.args[0], s.args[1], s.args[2], s.args[3], s.args[4], s.args[5])
		if s.trap != unix.SYS_CLOSE {
			// All signals are blocked, but SIGSTOP and SIGCONT can't be. What was
			// to be closed is, also then.
			for errno == unix.EINTR {
				r, _, errno = unix.RawSyscall6(uintptr(s.trap), s.args[0], s.args[1], s.args[2], s.args[3], s.args[4], s.args[5])
			}
		}
		if errno != 0 {
			e := uint16(errno)
			if e == s.pass[0] || e == s.pass[1] || e == s.pass[2] || e == s.pass[3] {
				continue
			}
		} else if s.want == anyResult || s.want == r {
			skip = s.skip
			continue
		} else if s.refusal != nil {
			errno = unix.Errno(-*(*int32)(unsafe.Pointer(&s.refusal[refusalErrno])))
		}
		failChild(p, base+int32(i), errno)
	}
}

// failChild sends the report and ends the process. It keeps the rules at the
// head of this file.
//
//go:nosplit
//go:norace
func failChild(p *program, step int32, errno unix.Errno) {
	p.failure.step = step
	p.failure.errno = int32(errno)
	unix.RawSyscall6(unix.SYS_WRITE, p.line, uintptr(unsafe.Pointer(&p.failure)), reportSize, 0, 0, 0)
	exitChild(statusSetup)
}

// exitChild ends the process. It keeps the rules at the head of this file.
//
//go:nosplit
//go:norace
func exitChild(status uintptr) {
	for {
		unix.RawSyscall6(unix.SYS_EXIT_GROUP, status, 0, 0, 0, 0, 0)
	}
}

// superviseChild is the init of the container's PID namespace: it passes
// signals on to the command, reaps whatever is orphaned in the namespace, and
// ends with the command's status, upon which the kernel ends all the rest.
//
// Every signal is blocked here and taken by sigtimedwait: the kernel does not
// even deliver to the init of a PID namespace a signal that it has no handler
// for, but a blocked one it queues (sig_ignored, kernel/signal.c). It keeps
// the rules at the head of this file.
//
//go:nosplit
//go:norace
func superviseChild(p *program, command uintptr) {
	const everyChild = ^uintptr(0)
	for {
		sig, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGTIMEDWAIT,
			uintptr(unsafe.Pointer(&p.all)), uintptr(unsafe.Pointer(&p.info)), 0, sigsetSize(), 0, 0)
		if errno != 0 {
			continue // EINTR, by SIGSTOP and SIGCONT
		}
		if sig != uintptr(unix.SIGCHLD) {
			unix.RawSyscall6(unix.SYS_KILL, command, sig, 0, 0, 0, 0)
			continue
		}
		// One SIGCHLD may stand for many children.
		for {
			pid, _, errno := unix.RawSyscall6(unix.SYS_WAIT4,
				everyChild, uintptr(unsafe.Pointer(&p.status)), unix.WNOHANG, 0, 0, 0)
			if errno == unix.EINTR {
				continue
			}
			if errno != 0 || pid == 0 {
				break
			}
			if pid == command {
				exitChild(exitStatus(p.status))
			}
		}
	}
}

// exitStatus is a shell's view of a wait status: the process's own, or 128 and
// the signal that ended it. It keeps the rules at the head of this file.
//
//go:nosplit
//go:norace
func exitStatus(wait int32) uintptr {
	if sig := wait & 0x7f; sig != 0 {
		return uintptr(128 + sig)
	}
	return uintptr(wait>>8) & 0xff
}
