//go:build linux

package main

import (
	"fmt"
	"slices"
	"sort"
	"unsafe"

	"golang.org/x/sys/unix"

	"container/cgroup"
	"container/nl"
	"container/seccomp"
)

// The builders below make the steps of a child. They run in the parent, and
// do nothing: see clone_linux.go for who runs the steps, and the rules there.

// call is a step: a system call and its arguments, any result taken. (Inlined,
// it would be half a kilobyte at each of its many callers.)
//
//go:noinline
func call(text string, trap uintptr, args ...uintptr) step {
	s := step{text: text, trap: uint32(trap), want: anyResult}
	copy(s.args[:], args)
	return s
}

// passing makes a step content with errors.
//
//go:noinline
func (s step) passing(errnos ...unix.Errno) step {
	for i, e := range errnos {
		s.pass[i] = uint16(e)
	}
	return s
}

// sending says which requests the bytes of a step are, that go over a netlink
// socket of a family.
func (s step) sending(family int, reqs []nl.Request) step {
	s.sends = &sending{family, reqs}
	return s
}

// wanting makes a step insist on a result.
//
//go:noinline
func (s step) wanting(r uintptr) step {
	s.want = r
	return s
}

// data is the address of bytes that live as long as the program.
func (p *program) data(b []byte) uintptr {
	if len(b) == 0 {
		return 0
	}
	if p.orders != nil {
		b = p.share(b)
	}
	p.bytes = append(p.bytes, b)
	return uintptr(unsafe.Pointer(unsafe.SliceData(b)))
}

// share copies bytes into what is left of the memory that the child and the
// runner have in common; when they don't fit, nothing is left.
func (p *program) share(b []byte) []byte {
	size := (len(b) + 7) &^ 7
	if size > len(p.room) {
		p.room = nil
		return b
	}
	shared := p.room[:len(b)]
	copy(shared, b)
	p.room = p.room[size:]
	return shared
}

// str is the address of a NUL-terminated copy of s. Copies lie one behind the
// other: each by itself would be a hundred allocations, and a dozen pages more
// that every fork leaves to be copied.
func (p *program) str(s string) uintptr {
	size := len(s) + 1
	if size > len(p.text) {
		p.text = make([]byte, max(size, 2<<10))
	}
	b := p.text[:size:size]
	p.text = p.text[size:]
	copy(b, s)
	return p.data(b)
}

// strs is the address of a NULL-terminated list of strings, as execve takes.
func (p *program) strs(list []string) uintptr {
	ptrs := make([]uintptr, len(list)+1)
	for i, s := range list {
		ptrs[i] = p.str(s)
	}
	p.keep = append(p.keep, ptrs)
	return uintptr(unsafe.Pointer(unsafe.SliceData(ptrs)))
}

// keepOnly closes every descriptor from 3 on but some. A child has copies of
// all that the parent and its caller had open.
func keepOnly(fds ...int) []step {
	sort.SliceStable(fds, func(i, j int) bool { return fds[i] < fds[j] })
	var steps []step
	from := 3
	between := func(first, last uintptr) {
		if first <= last {
			steps = append(steps, closeRange(fmt.Sprintf("close descriptors %d to %d", first, last), first, last)...)
		}
	}
	for _, fd := range fds {
		if fd >= from {
			between(uintptr(from), uintptr(fd)-1)
			from = fd + 1
		}
	}
	// The system call's arguments are unsigned int.
	between(uintptr(from), highestFD)
	return steps
}

// lowestFD is what the next call that makes a descriptor will give, when
// keepOnly has closed all but the standard ones, the line and what leads to the
// target, and so many have been opened since.
func (p *program) lowestFD(opened int) uintptr {
	fd := uintptr(2)
	for range opened + 1 {
		fd++
		for fd == p.line || fd == p.target || fd == p.targetDir {
			fd++
		}
	}
	return fd
}

// closing closes a descriptor. Whatever the kernel says, it is closed then
// (close(2)): nothing is lost.
func closing(text string, fd uintptr) step {
	return call("close "+text, unix.SYS_CLOSE, fd).passing(unix.EINTR, unix.EIO)
}

// passing is a message with a descriptor.
type passing struct {
	hdr  unix.Msghdr
	iov  unix.Iovec
	byte [1]byte
	oob  []byte
	fd   int
}

// sendFD is sendmsg(2) of one byte with a descriptor (SCM_RIGHTS, unix(7)).
func (p *program) sendFD(text string, fd int) step {
	m := &passing{fd: fd, oob: unix.UnixRights(fd)}
	m.iov.Base = &m.byte[0]
	m.iov.SetLen(1)
	m.hdr.Iov = &m.iov
	m.hdr.SetIovlen(1)
	m.hdr.Control = &m.oob[0]
	m.hdr.SetControllen(len(m.oob))
	p.keep = append(p.keep, m)
	return call(text, unix.SYS_SENDMSG, p.line, uintptr(unsafe.Pointer(&m.hdr)), 0)
}

// notRefused fails if the kernel has refused one of the netlink messages that
// were sent and ask for no answer. It has done, or refused, them all by now.
func (p *program) notRefused(text string, socket uintptr) step {
	b := new([refusalSize]byte)
	p.keep = append(p.keep, b)
	s := call(text, unix.SYS_RECVFROM, socket, uintptr(unsafe.Pointer(b)), refusalSize, unix.MSG_DONTWAIT, 0, 0).
		wanting(noResult).passing(unix.EAGAIN)
	s.refusal = b
	return s
}

// enter moves the child into its cgroup; but not into version 2's if clone3 has
// put it there. It writes "0", itself, which costs the kernel a hundredth of what
// it costs when somebody else moves it.
func (p *program) enter(g *cgroup.Group, cloned bool) []step {
	var steps []step
	fd := p.lowestFD(0)
	for _, file := range g.Entrances(cloned) {
		steps = append(steps,
			call("open "+file, unix.SYS_OPENAT, atFDCWD(), p.str(file), unix.O_WRONLY|unix.O_CLOEXEC).wanting(fd),
			call("write 0 to "+file, unix.SYS_WRITE, fd, p.str("0"), 1).wanting(1),
			closing(file, fd))
	}
	return steps
}

// startIn has a child that isn't cloned into its cgroup of version 2 enter that
// before it does anything else.
func (p *program) startIn(g *cgroup.Group) {
	if g.FD() >= 0 {
		p.instead = append(slices.Clone(p.setUp), p.enter(g, false)...)
	}
}

// waitForGo waits until the parent says go on. The end of file means that the
// parent is gone, or gives up, and the child goes too.
func (p *program) waitForGo() step {
	return call("wait for the network", unix.SYS_READ, p.line, p.data(make([]byte, 1)), 1).wanting(1)
}

// dieWithParent has the kernel kill the child when the thread that made it
// ends. If the parent was dead before, waitForGo shows it.
func dieWithParent() step {
	return call("prctl PR_SET_PDEATHSIG", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL))
}

func newSession() step { return call("setsid", unix.SYS_SETSID) }

// mount is mount(2); empty strings are NULL.
func (p *program) mount(text, source, target, fstype string, flags uintptr, options string) step {
	ptr := func(s string) uintptr {
		if s == "" {
			return 0
		}
		return p.str(s)
	}
	return call(text, unix.SYS_MOUNT, ptr(source), p.str(target), ptr(fstype), flags, ptr(options))
}

// hostname is sethostname(2).
func (p *program) hostname(name string) step {
	return call("sethostname "+name, unix.SYS_SETHOSTNAME, p.data([]byte(name)), uintptr(len(name)))
}

// ordinaryFiles is the soft limit of open files that a login gives on Linux.
// Go raises its own to the hard limit at its start and does not tell what it
// was, and programs that use select(2), or close all descriptors that they
// may have, go wrong with a large one.
const ordinaryFiles = 1024

// undumpable keeps a process's memory and descriptors from others of its
// user: they may have less capabilities (ptrace(2), PR_SET_DUMPABLE).
func undumpable() step {
	return call("prctl PR_SET_DUMPABLE", unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0)
}

// noNewPrivs makes execve give nothing that a process hasn't got.
func noNewPrivs() step {
	return call("prctl PR_SET_NO_NEW_PRIVS", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}

// filter has a seccomp filter judge every system call from here on.
func (p *program) filter(caps capabilities) step {
	prog := seccomp.Filter(uint64(caps))
	fprog := &unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	p.keep = append(p.keep, fprog)
	return call("seccomp", unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(fprog)))
}

// limitFiles sets the soft limit of open files back.
func (p *program) limitFiles() (step, error) {
	var lim unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &lim); err != nil {
		return step{}, fmt.Errorf("getrlimit RLIMIT_NOFILE: %w", err)
	}
	lim.Cur = min(lim.Max, ordinaryFiles)
	p.keep = append(p.keep, &lim)
	return call("prlimit RLIMIT_NOFILE", unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, uintptr(unsafe.Pointer(&lim)), 0), nil
}

// unblockSignals gives the command the signal mask that its caller had, less
// those that end a program by default: Go unblocks these at its start, and does
// not tell.
func (p *program) unblockSignals() step {
	return call("sigprocmask", unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&p.mask)), 0, sigsetSize())
}

// exec is execve(2), the last step of a command.
func (p *program) exec(path string, argv, env []string) step {
	return call("execve "+path, unix.SYS_EXECVE, p.str(path), p.strs(argv), p.strs(env))
}

// failed is the error that a child's report stands for.
func (p *program) failed(r report) error {
	if r.step == cloneStep {
		return cloneError(unix.Errno(r.errno))
	}
	all, at := p.steps(), int(r.step)
	if at <= insteadStep+len(p.instead) {
		all, at = p.instead, at-insteadStep
	}
	e := &stepError{text: "a step of the child's", errno: unix.Errno(r.errno)}
	switch {
	case r.step == handlerStep:
		e.text = "reset a signal's handler"
	case r.step == forkStep:
		e.text, e.advice = "fork", cloneAdvice(e.errno)
	case at >= 0 && at < len(all):
		e.text = all[at].text
		e.exec = int(r.step) == len(p.setUp)+len(p.command)-1
		e.advice = mountAdvice(all[at].trap, e.errno)
	}
	return e
}

// mountAdvice says why a place to mount on may not be there: mkdir and touch pass
// over what they can't make.
func mountAdvice(trap uint32, errno unix.Errno) string {
	if errno == unix.ENOENT && (trap == unix.SYS_MOUNT || trap == unix.SYS_MOVE_MOUNT) {
		return " (it could not be made either: the tree is read-only, or a link in it leads nowhere)"
	}
	return ""
}

// steps is all that the program does, in the order of the numbers in a report.
func (p *program) steps() []step {
	return slices.Concat(p.setUp, p.command, p.after, p.ordered, p.last)
}

// stepError is a step of a child that failed.
type stepError struct {
	text   string
	errno  unix.Errno
	advice string
	exec   bool // it was the execve of the command
}

func (e *stepError) Error() string {
	if e.errno == 0 {
		return e.text + ": ended early"
	}
	return e.text + ": " + e.errno.Error() + e.advice
}

func (e *stepError) Unwrap() error { return e.errno }
