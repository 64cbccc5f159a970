//go:build linux && (amd64 || arm64)

package faults

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The roles. A child of the runner has the one that it calls itself.
const (
	Runner   = "runner"   // ./main, with all of its threads
	Init     = "init"     // the container's first process
	Joiner   = "joiner"   // that of an exec
	Command  = "command"  // the command's process, up to its execve
	Guardian = "guardian" // the one that takes back what a run has claimed
)

// Call is a system call of a run: the Nth of its name in its role, from 1 on.
type Call struct {
	Role, Name string
	N          int
}

func (c Call) String() string { return fmt.Sprintf("%s %s %d", c.Role, c.Name, c.N) }

// What is done at a call.
type deed int

const (
	fail       deed = iota // it fails with an errno
	refuse                 // the kernel does not know one of the netlink messages that it sends
	killRunner             // the runner gets a SIGKILL before it
	killCaller             // so does the process that calls
	lack                   // the kernel has no expression or kind of link of a name, at any call
)

// Fault is what goes wrong in a run.
type Fault struct {
	Call
	deed    deed
	errno   unix.Errno // fail
	message int        // refuse: which of the messages
	name    string     // lack

	downAlone bool // no run comes after it, but "main down" at once
}

func (f Fault) String() string {
	var s string
	switch f.deed {
	case fail:
		s = unix.ErrnoName(f.errno)
	case refuse:
		s = fmt.Sprintf("message %d is refused", f.message)
	case killRunner:
		s = "SIGKILL to the runner"
	case killCaller:
		s = "SIGKILL to the caller"
	}
	if f.downAlone {
		s += ", down alone"
	}
	return f.Call.String() + ": " + s
}

// seen is a call that was made in a run.
type seen struct {
	Call
	messages []int // offsets of the netlink messages that it sends
}

// outcome is what came of a run.
type outcome struct {
	calls   []seen
	reached bool     // the fault's call was made
	at      string   // the call with its arguments, in words
	made    []string // directories that the runner has made
	ran     bool     // the command was executed
	hung    bool     // it had not ended in time, and was killed
	status  syscall.WaitStatus
	stdout  string
	stderr  string
}

// patience is how long a run may take. Only one that hangs ever does.
const patience = time.Minute

// run runs a program to its end, and to that of all that it has cloned, with a
// fault or none. It must be called on a locked thread, in whose namespaces it
// runs.
func run(argv []string, f *Fault) (*outcome, error) {
	out, err := capture()
	if err != nil {
		return nil, err
	}
	defer out.Close()
	errs, err := capture()
	if err != nil {
		return nil, err
	}
	defer errs.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()

	pid, err := syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{null.Fd(), out.Fd(), errs.Fd()},
		Sys:   &syscall.SysProcAttr{Ptrace: true, Setpgid: true, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return nil, err
	}
	t := &tracer{fault: f, main: pid, tasks: make(map[int]*task), early: make(map[int]bool), count: make(map[Call]int), events: make(map[int]uint64), out: new(outcome)}
	t.tasks[pid] = &task{role: Runner, process: pid, begun: true}
	timer := time.AfterFunc(patience, t.giveUp)
	defer timer.Stop()
	if err := t.trace(); err != nil {
		t.giveUp()
		return nil, err
	}
	t.out.stdout, err = content(out)
	if err == nil {
		t.out.stderr, err = content(errs)
	}
	return t.out, err
}

// capture is a file that takes all that a process writes, so that it never
// waits for a reader.
func capture() (*os.File, error) {
	fd, err := unix.MemfdCreate("output", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return os.NewFile(uintptr(fd), "output"), nil
}

func content(f *os.File) (string, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	b, err := io.ReadAll(f)
	return string(b), err
}

// task is a thread that is traced.
type task struct {
	role    string
	process int  // the thread group's id
	begun   bool // its first stop, by SIGSTOP, is behind it
	free    bool // it has executed the command: its calls are its own

	inside bool // in a system call
	nr     uint64
	args   [6]uint64
	spoil  bool // this one fails with the fault's errno
}

type tracer struct {
	fault *Fault
	main  int
	early map[int]bool // stopped, and not yet told of by their parent
	slain bool         // somebody was killed, who may have been about to tell of a child
	count map[Call]int
	out   *outcome

	// The eventfd of each process: Go's poller has one.
	events map[int]uint64

	mu    sync.Mutex
	tasks map[int]*task
}

// giveUp ends all that runs yet.
func (t *tracer) giveUp() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.out.hung = len(t.tasks) > 0
	for _, k := range t.tasks {
		_ = unix.Kill(k.process, unix.SIGKILL)
	}
}

// trace returns when the last of the processes has ended.
func (t *tracer) trace() error {
	for {
		var ws unix.WaitStatus
		// Of this thread's tracees alone: others trace theirs in this process.
		tid, err := unix.Wait4(-1, &ws, unix.WALL|unix.WNOTHREAD, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ECHILD):
			return nil
		case err != nil:
			return os.NewSyscallError("wait4", err)
		}
		if ws.Exited() || ws.Signaled() {
			if tid == t.main {
				t.out.status = syscall.WaitStatus(ws)
			}
			t.forget(tid)
			t.slain = t.slain || ws.Signaled()
			if err := t.adopt(); err != nil {
				return err
			}
			continue
		}
		if err := t.stopped(tid, ws); err != nil && !errors.Is(err, unix.ESRCH) { // ESRCH: it was killed
			return fmt.Errorf("trace %d: %w", tid, err)
		}
	}
}

func (t *tracer) forget(tid int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.tasks, tid)
}

const options = unix.PTRACE_O_EXITKILL | unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACEEXEC |
	unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK

// stopped handles a stop, and lets the task go on.
func (t *tracer) stopped(tid int, ws unix.WaitStatus) error {
	k := t.tasks[tid]
	if k == nil {
		t.early[tid] = true
		return t.adopt()
	}
	sig := ws.StopSignal()
	switch {
	case sig == unix.SIGTRAP|0x80:
		if err := t.atCall(tid, k); err != nil {
			return err
		}
		return k.goOn(tid, 0)
	case sig == unix.SIGTRAP && ws.TrapCause() == unix.PTRACE_EVENT_EXEC:
		k.free = true
		t.out.ran = true
		return k.goOn(tid, 0)
	case sig == unix.SIGTRAP && ws.TrapCause() > 0:
		if err := t.cloned(tid, k); err != nil {
			return err
		}
		return k.goOn(tid, 0)
	case sig == unix.SIGTRAP && tid == t.main && len(t.out.calls) == 0:
		// The runner's own execve.
		if err := unix.PtraceSetOptions(tid, options); err != nil {
			return err
		}
		return k.goOn(tid, 0)
	case sig == unix.SIGSTOP && !k.begun:
		k.begun = true
		return k.goOn(tid, 0)
	}
	return k.goOn(tid, int(sig))
}

// adopt has those go on of whom nobody may tell any more.
func (t *tracer) adopt() error {
	if !t.slain {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for tid := range t.early {
		delete(t.early, tid)
		k := &task{role: "child", process: tid, begun: true}
		t.tasks[tid] = k
		if err := k.goOn(tid, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("trace %d: %w", tid, err)
		}
	}
	return nil
}

func (k *task) goOn(tid, sig int) error {
	if k.free {
		return unix.PtraceCont(tid, sig)
	}
	return unix.PtraceSyscall(tid, sig)
}

// cloned makes the acquaintance of a new task.
func (t *tracer) cloned(parent int, k *task) error {
	msg, err := unix.PtraceGetEventMsg(parent)
	if err != nil {
		return err
	}
	tid := int(msg)
	child := &task{role: "child", process: tid, free: k.free}
	switch {
	case k.flags(parent)&unix.CLONE_THREAD != 0:
		child.role, child.process = k.role, k.process
	case k.role == Init || k.role == Joiner:
		child.role = Command
	}
	t.mu.Lock()
	adopted := t.tasks[tid]
	if adopted != nil {
		adopted.role, adopted.process, adopted.free = child.role, child.process, child.free
	} else {
		t.tasks[tid] = child
	}
	t.mu.Unlock()
	if t.early[tid] {
		delete(t.early, tid)
		child.begun = true
		return child.goOn(tid, 0)
	}
	return nil
}

// flags are those of the clone that a task is in.
func (k *task) flags(tid int) uint64 {
	if k.nr == unix.SYS_CLONE3 {
		b := make([]byte, 8) // the first member of struct clone_args
		if peek(tid, k.args[0], b) != nil {
			return 0
		}
		return binary.NativeEndian.Uint64(b)
	}
	return k.args[0]
}

// peek reads a task's memory.
func peek(tid int, addr uint64, b []byte) error {
	n, err := unix.PtracePeekData(tid, uintptr(addr), b)
	if err == nil && n < len(b) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// text reads a string of a task's memory.
func text(tid int, addr uint64) string {
	var s []byte
	for b := make([]byte, 16); len(s) < unix.PathMax; addr += 16 {
		if peek(tid, addr, b) != nil {
			break
		}
		if before, _, ended := strings.Cut(string(b), "\x00"); ended {
			return string(append(s, before...))
		}
		s = append(s, b...)
	}
	return string(s)
}

// callInfo is struct ptrace_syscall_info of linux/ptrace.h, at an entry.
type callInfo struct {
	op                 uint8
	_                  [3]uint8
	arch               uint32
	instruction, stack uint64
	nr                 uint64
	args               [6]uint64
}

func getCallInfo(tid int) (callInfo, error) {
	var info callInfo
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(tid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 {
		return info, errno
	}
	return info, nil
}

// atCall is a stop at the entry of a system call, or at its exit.
func (t *tracer) atCall(tid int, k *task) error {
	info, err := getCallInfo(tid)
	if err != nil {
		return err
	}
	if info.op == unix.PTRACE_SYSCALL_INFO_ENTRY {
		k.inside, k.nr, k.args = true, info.nr, info.args
		return t.entry(tid, k)
	}
	if k.inside && k.nr == unix.SYS_EVENTFD2 {
		t.events[k.process] = info.nr // at an exit, the result is in its place
	}
	if k.inside && k.spoil {
		k.spoil = false
		err = setResult(tid, t.fault.errno)
	}
	k.inside = false
	return err
}

func (t *tracer) entry(tid int, k *task) error {
	// The children call themselves something before anything else.
	if k.role == "child" && k.nr == unix.SYS_PRCTL && k.args[0] == unix.PR_SET_NAME {
		k.role = text(tid, k.args[1])
	}
	c := Call{Role: k.role, Name: name(k.nr)}
	if fd, ok := t.events[k.process]; ok && fd == k.args[0] && (k.nr == unix.SYS_READ || k.nr == unix.SYS_WRITE) {
		c.Name = eventfd // its poller is woken up
	}
	t.count[c]++
	c.N = t.count[c]
	s := seen{Call: c}
	if k.nr == unix.SYS_SENDTO && t.fault != nil && t.fault.deed == lack {
		if err := t.rename(tid, k); err != nil {
			return err
		}
	}
	if k.nr == unix.SYS_SENDTO {
		s.messages = messages(tid, k.args[1], k.args[2])
	}
	t.out.calls = append(t.out.calls, s)
	if k.nr == unix.SYS_MKDIRAT && k.role == Runner {
		t.out.made = append(t.out.made, text(tid, k.args[1]))
	}
	f := t.fault
	if f == nil || f.Call != c {
		return nil
	}
	t.out.reached = true
	t.out.at = describe(tid, k)
	switch f.deed {
	case killRunner:
		if t.tasks[t.main] == nil {
			return nil // it has ended
		}
		return unix.Kill(t.main, unix.SIGKILL)
	case killCaller:
		return unix.Kill(k.process, unix.SIGKILL)
	case refuse:
		return t.spoilMessage(tid, k, s.messages)
	}
	k.spoil = true
	// The kernel closes a descriptor whatever it says of it.
	if k.nr == unix.SYS_CLOSE {
		return nil
	}
	return setNumber(tid, -1)
}

// messages are the offsets of the netlink messages in a buffer: none, if it
// does not hold such.
func messages(tid int, addr, size uint64) []int {
	const header, most = 16, 1 << 20
	if size < header || size > most {
		return nil
	}
	b := make([]byte, size)
	if peek(tid, addr, b) != nil {
		return nil
	}
	var all []int
	for at := 0; at < len(b); {
		if len(b)-at < header {
			return nil
		}
		n := int(binary.NativeEndian.Uint32(b[at:]))
		if n < header || n > len(b)-at {
			return nil
		}
		if typ := binary.NativeEndian.Uint16(b[at+4:]); n != batchSize || typ != batchBegin && typ != batchEnd {
			all = append(all, at)
		}
		at += (n + 3) &^ 3
	}
	return all
}

// A transaction of nf_tables stands between two messages that say no more than
// that (NFNL_MSG_BATCH_BEGIN, linux/netfilter/nfnetlink.h). In rtnetlink the
// numbers are RTM_NEWLINK's and RTM_DELLINK's, which are longer.
const (
	batchBegin = 0x10
	batchEnd   = 0x11
	batchSize  = 16 + 4
)

// unknown is a message's type that neither rtnetlink nor nfnetlink knows.
const unknown = 0x0fff

func (t *tracer) spoilMessage(tid int, k *task, offsets []int) error {
	if t.fault.message >= len(offsets) {
		t.out.reached = false
		return nil
	}
	at := k.args[1] + uint64(offsets[t.fault.message]) + 4
	b := binary.NativeEndian.AppendUint16(nil, unknown)
	_, err := unix.PtracePokeData(tid, uintptr(at), b)
	return err
}

// rename gives an expression of nf_tables, or a kind of link, a name that no
// kernel knows: both are the first attribute of their nest (NFTA_EXPR_NAME,
// IFLA_INFO_KIND).
func (t *tracer) rename(tid int, k *task) error {
	b := make([]byte, k.args[2])
	if len(b) == 0 || peek(tid, k.args[1], b) != nil {
		return nil // no message
	}
	attribute := binary.NativeEndian.AppendUint16(nil, uint16(4+len(t.fault.name)+1))
	attribute = binary.NativeEndian.AppendUint16(attribute, 1)
	attribute = append(append(attribute, t.fault.name...), 0)
	for at := 0; ; at++ {
		next := bytes.Index(b[at:], attribute)
		if next < 0 {
			return nil
		}
		at += next
		t.out.reached = true
		if _, err := unix.PtracePokeData(tid, uintptr(k.args[1])+uintptr(at+4), []byte("X")); err != nil {
			return err
		}
	}
}

// describe is a call with its arguments, as far as they are of interest.
func describe(tid int, k *task) string {
	words := make([]string, len(k.args))
	for i, a := range k.args {
		words[i] = fmt.Sprintf("%#x", a)
		if slices.Contains(calls[k.nr].texts, i) {
			words[i] = fmt.Sprintf("%q", text(tid, a))
		}
	}
	return name(k.nr) + "(" + strings.Join(words, ", ") + ")"
}
