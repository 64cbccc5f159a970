//go:build linux && (amd64 || arm64)

package faults

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// kind is a system call as far as it is of interest here.
type kind struct {
	name string

	// errnos are what the kernel may well say: for want of something, because
	// somebody forbids it, or because a signal came.
	errnos []unix.Errno

	texts []int // which of its arguments are strings
}

func errs(errnos ...unix.Errno) []unix.Errno { return errnos }

// calls are the system calls of a run, of an exec, a down and a gc. Those
// without an errno can't fail.
var calls = map[uint64]kind{
	unix.SYS_BIND:              {"bind", errs(unix.EADDRINUSE, unix.EACCES), nil},
	unix.SYS_BRK:               {"brk", nil, nil},
	unix.SYS_CAPGET:            {"capget", errs(unix.EPERM), nil},
	unix.SYS_CAPSET:            {"capset", errs(unix.EPERM), nil},
	unix.SYS_CHDIR:             {"chdir", errs(unix.ENOENT, unix.EACCES), []int{0}},
	unix.SYS_CLONE:             {"clone", errs(unix.EAGAIN, unix.ENOMEM), nil},
	unix.SYS_CLONE3:            {"clone3", errs(unix.EAGAIN, unix.ENOSPC, unix.ENOSYS), nil},
	unix.SYS_CLOSE:             {"close", errs(unix.EINTR, unix.EIO), nil},
	unix.SYS_CLOSE_RANGE:       {"close_range", errs(unix.ENOMEM), nil},
	unix.SYS_CONNECT:           {"connect", errs(unix.ENETUNREACH), nil},
	unix.SYS_DUP3:              {"dup3", errs(unix.EMFILE, unix.EINTR), nil},
	unix.SYS_EPOLL_CREATE1:     {"epoll_create1", errs(unix.EMFILE), nil},
	unix.SYS_EPOLL_CTL:         {"epoll_ctl", errs(unix.ENOSPC), nil},
	unix.SYS_EPOLL_PWAIT:       {"epoll_pwait", errs(unix.EINTR), nil},
	unix.SYS_EVENTFD2:          {"eventfd2", errs(unix.EMFILE), nil},
	unix.SYS_EXECVE:            {"execve", errs(unix.ENOMEM, unix.ENOENT, unix.EACCES), []int{0}},
	unix.SYS_EXIT:              {"exit", nil, nil},
	unix.SYS_EXIT_GROUP:        {"exit_group", nil, nil},
	unix.SYS_FACCESSAT:         {"faccessat", errs(unix.EACCES), []int{1}},
	unix.SYS_FCHDIR:            {"fchdir", errs(unix.EACCES), nil},
	unix.SYS_FCHOWNAT:          {"fchownat", errs(unix.EPERM), []int{1}},
	unix.SYS_FCNTL:             {"fcntl", errs(unix.EINVAL), nil},
	unix.SYS_FLOCK:             {"flock", errs(unix.ENOLCK, unix.EINTR), nil},
	unix.SYS_FSTAT:             {"fstat", errs(unix.ENOMEM), nil},
	unix.SYS_FUTEX:             {"futex", errs(unix.EINTR), nil},
	unix.SYS_GETDENTS64:        {"getdents64", errs(unix.EIO), nil},
	unix.SYS_GETEUID:           {"geteuid", nil, nil},
	unix.SYS_GETPID:            {"getpid", nil, nil},
	unix.SYS_GETRANDOM:         {"getrandom", errs(unix.ENOSYS), nil},
	unix.SYS_GETSOCKNAME:       {"getsockname", errs(unix.ENOBUFS), nil},
	unix.SYS_GETTID:            {"gettid", nil, nil},
	unix.SYS_GETUID:            {"getuid", nil, nil},
	unix.SYS_IOCTL:             {"ioctl", errs(unix.ENOTTY), nil},
	unix.SYS_KEYCTL:            {"keyctl", errs(unix.EDQUOT, unix.ENOMEM), nil},
	unix.SYS_KILL:              {"kill", errs(unix.ESRCH, unix.EPERM), nil},
	unix.SYS_LISTEN:            {"listen", errs(unix.EADDRINUSE), nil},
	unix.SYS_MADVISE:           {"madvise", errs(unix.ENOMEM), nil},
	unix.SYS_MEMFD_CREATE:      {"memfd_create", errs(unix.EMFILE, unix.ENOSYS), []int{0}},
	unix.SYS_MKDIRAT:           {"mkdirat", errs(unix.EACCES, unix.ENOSPC), []int{1}},
	unix.SYS_MKNODAT:           {"mknodat", errs(unix.EPERM, unix.ENOSPC), []int{1}},
	unix.SYS_MMAP:              {"mmap", errs(unix.ENOMEM), nil},
	unix.SYS_MOUNT:             {"mount", errs(unix.EPERM, unix.ENOMEM, unix.EBUSY), []int{0, 1, 2}},
	unix.SYS_MOUNT_SETATTR:     {"mount_setattr", errs(unix.EPERM, unix.ENOSYS), []int{1}},
	unix.SYS_MOVE_MOUNT:        {"move_mount", errs(unix.EPERM), nil},
	unix.SYS_MPROTECT:          {"mprotect", errs(unix.ENOMEM), nil},
	unix.SYS_MUNMAP:            {"munmap", errs(unix.EINVAL), nil},
	unix.SYS_NANOSLEEP:         {"nanosleep", errs(unix.EINTR), nil},
	unix.SYS_NEWFSTATAT:        {"newfstatat", errs(unix.EACCES, unix.ENOMEM), []int{1}},
	unix.SYS_OPENAT:            {"openat", errs(unix.EMFILE, unix.ENOENT, unix.EACCES), []int{1}},
	unix.SYS_OPENAT2:           {"openat2", errs(unix.EMFILE, unix.EACCES, unix.ENOSYS), []int{1}},
	unix.SYS_OPEN_TREE:         {"open_tree", errs(unix.EPERM), []int{1}},
	unix.SYS_PIDFD_OPEN:        {"pidfd_open", errs(unix.EMFILE), nil},
	unix.SYS_PIDFD_SEND_SIGNAL: {"pidfd_send_signal", errs(unix.ESRCH, unix.EPERM), nil},
	unix.SYS_PIPE2:             {"pipe2", errs(unix.EMFILE), nil},
	unix.SYS_PIVOT_ROOT:        {"pivot_root", errs(unix.EINVAL, unix.EBUSY), []int{0, 1}},
	unix.SYS_PPOLL:             {"ppoll", errs(unix.EINTR, unix.ENOMEM), nil},
	unix.SYS_PRCTL:             {"prctl", errs(unix.EINVAL), nil},
	unix.SYS_PREAD64:           {"pread64", errs(unix.EIO), nil},
	unix.SYS_PRLIMIT64:         {"prlimit64", errs(unix.EPERM), nil},
	unix.SYS_READ:              {"read", errs(unix.EIO, unix.EINTR), nil},
	unix.SYS_READLINKAT:        {"readlinkat", errs(unix.ENOENT, unix.EACCES), []int{1}},
	unix.SYS_RECVFROM:          {"recvfrom", errs(unix.ENOBUFS, unix.EINTR), nil},
	unix.SYS_RECVMSG:           {"recvmsg", errs(unix.ENOMEM, unix.EINTR), nil},
	unix.SYS_RSEQ:              {"rseq", errs(unix.EINVAL), nil},
	unix.SYS_RT_SIGACTION:      {"rt_sigaction", errs(unix.EINVAL), nil},
	unix.SYS_RT_SIGPROCMASK:    {"rt_sigprocmask", errs(unix.EINVAL), nil},
	unix.SYS_RT_SIGRETURN:      {"rt_sigreturn", nil, nil},
	unix.SYS_RT_SIGTIMEDWAIT:   {"rt_sigtimedwait", errs(unix.EINTR, unix.EAGAIN), nil},
	unix.SYS_SCHED_GETAFFINITY: {"sched_getaffinity", errs(unix.EINVAL), nil},
	unix.SYS_SCHED_YIELD:       {"sched_yield", nil, nil},
	unix.SYS_SECCOMP:           {"seccomp", errs(unix.EINVAL, unix.ENOMEM), nil},
	unix.SYS_SENDMSG:           {"sendmsg", errs(unix.ENOBUFS, unix.ETOOMANYREFS), nil},
	unix.SYS_SENDTO:            {"sendto", errs(unix.ENOBUFS, unix.EINTR), nil},
	unix.SYS_SETGROUPS:         {"setgroups", errs(unix.EPERM), nil},
	unix.SYS_SETHOSTNAME:       {"sethostname", errs(unix.EPERM), []int{0}},
	unix.SYS_SETNS:             {"setns", errs(unix.EPERM, unix.ENOMEM), nil},
	unix.SYS_SETRESGID:         {"setresgid", errs(unix.EPERM), nil},
	unix.SYS_SETRESUID:         {"setresuid", errs(unix.EAGAIN), nil},
	unix.SYS_SETSID:            {"setsid", errs(unix.EPERM), nil},
	unix.SYS_SETSOCKOPT:        {"setsockopt", errs(unix.ENOPROTOOPT, unix.ENOMEM), nil},
	unix.SYS_SET_ROBUST_LIST:   {"set_robust_list", errs(unix.EINVAL), nil},
	unix.SYS_SET_TID_ADDRESS:   {"set_tid_address", nil, nil},
	unix.SYS_SIGALTSTACK:       {"sigaltstack", errs(unix.ENOMEM), nil},
	unix.SYS_SOCKET:            {"socket", errs(unix.EMFILE, unix.ENOBUFS), nil},
	unix.SYS_SOCKETPAIR:        {"socketpair", errs(unix.EMFILE), nil},
	unix.SYS_STATFS:            {"statfs", errs(unix.ENOSYS, unix.EACCES), []int{0}},
	unix.SYS_SYMLINKAT:         {"symlinkat", errs(unix.ENOSPC), []int{0, 2}},
	unix.SYS_TGKILL:            {"tgkill", errs(unix.EAGAIN), nil},
	unix.SYS_UMASK:             {"umask", nil, nil},
	unix.SYS_UMOUNT2:           {"umount2", errs(unix.EBUSY), []int{0}},
	unix.SYS_UNLINKAT:          {"unlinkat", errs(unix.EBUSY, unix.EPERM), []int{1}},
	unix.SYS_UNSHARE:           {"unshare", errs(unix.ENOSPC, unix.EPERM), nil},
	unix.SYS_WAIT4:             {"wait4", errs(unix.EINTR), nil},
	unix.SYS_WAITID:            {"waitid", errs(unix.EINTR), nil},
	unix.SYS_WRITE:             {"write", errs(unix.ENOSPC, unix.ENOMEM, unix.EINTR), nil},
}

// eventfd is the name of a read or a write by which Go's poller is woken up.
const eventfd = "eventfd read or write"

func name(nr uint64) string {
	if k, ok := calls[nr]; ok {
		return k.name
	}
	if s, ok := further[nr]; ok {
		return s
	}
	return fmt.Sprintf("system call %d", nr)
}

// byName is calls the other way round.
var byName = func() map[string]kind {
	m := make(map[string]kind, len(calls))
	for _, k := range calls {
		m[k.name] = k
	}
	return m
}()

// runtimes are the calls that the runner's Go runtime makes for itself: memory,
// threads, signals, sleep. It can't go on without them and ends in its own
// words ("fatal error: …", a traceback, status 2), and so may the runner then;
// but nothing may be left of the run all the same. Among them are a few of the
// program's own by the same names, which so get away with more than they
// should: the signal mask around a clone, and the clone(2) of a kernel without
// clone3.
var runtimes = map[string]bool{
	"arch_prctl": true, "brk": true, "clone": true, "epoll_create1": true, "epoll_ctl": true, "epoll_pwait": true,
	"eventfd2": true, eventfd: true, "fcntl": true, "futex": true, "gettid": true, "getpid": true, "madvise": true, "mmap": true,
	"mprotect": true, "munmap": true, "nanosleep": true, "prctl": true, "rt_sigaction": true, "rt_sigprocmask": true,
	"rt_sigreturn": true, "sched_getaffinity": true, "sched_yield": true, "sigaltstack": true, "tgkill": true,
}

// ofRuntime tells whether a call may be the Go runtime's own.
func (c Call) ofRuntime() bool { return c.Role == Runner && runtimes[c.Name] }
