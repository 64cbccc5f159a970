//go:build linux

package main

import (
	"fmt"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A step of a child is numbers: a system call's and its arguments'. Here they
// become words, for a person to read (narrate.go).

// systemCalls are those that steps make, and what their arguments are:
//
//	d u o      a number, signed, unsigned, octal
//	p          an address: of something that the program keeps, or NULL
//	b          bytes, as many as the next argument says
//	-          an address that something is put at
//	a name     a flag, or several, of names
var systemCalls = []struct {
	trap       uint32
	name, args string
}{
	{unix.SYS_CAPSET, "capset", "- p"},
	{unix.SYS_CHDIR, "chdir", "p"},
	{unix.SYS_CHROOT, "chroot", "p"},
	{unix.SYS_CLOSE, "close", "d"},
	{unix.SYS_CLOSE_RANGE, "close_range", "u u u"},
	{unix.SYS_DUP3, "dup3", "d d u"},
	{unix.SYS_EXECVE, "execve", "p p p"},
	{unix.SYS_FACCESSAT, "faccessat", "d p access"},
	{unix.SYS_FCHOWN, "fchown", "d d d"},
	{unix.SYS_FCNTL, "fcntl", "d fcntl"},
	{unix.SYS_FUTEX, "futex", "p futex u u p u"},
	{unix.SYS_IOCTL, "ioctl", "d ioctl p"},
	{unix.SYS_KEYCTL, "keyctl", "keyctl p"},
	{unix.SYS_MKDIRAT, "mkdirat", "d p o"},
	{unix.SYS_MKNODAT, "mknodat", "d p mode dev"},
	{unix.SYS_MOUNT, "mount", "p p p mount p"},
	{unix.SYS_MOUNT_SETATTR, "mount_setattr", "d p at p u"},
	{unix.SYS_MOVE_MOUNT, "move_mount", "d p d p move"},
	{unix.SYS_MUNMAP, "munmap", "- u"},
	{unix.SYS_OPENAT, "openat", "d p open o"},
	{unix.SYS_OPEN_TREE, "open_tree", "d p tree"},
	{unix.SYS_PIDFD_SEND_SIGNAL, "pidfd_send_signal", "d signal p u"},
	{unix.SYS_PIVOT_ROOT, "pivot_root", "p p"},
	{unix.SYS_PPOLL, "ppoll", "p u p p"},
	{unix.SYS_PRCTL, "prctl", "prctl ="},
	{unix.SYS_PRLIMIT64, "prlimit64", "d rlimit p -"},
	{unix.SYS_READ, "read", "d - u"},
	{unix.SYS_RECVFROM, "recvfrom", "d - u msg p p"},
	{unix.SYS_RT_SIGPROCMASK, "rt_sigprocmask", "how - p u"},
	{unix.SYS_SCHED_SETSCHEDULER, "sched_setscheduler", "d sched p"},
	{unix.SYS_SECCOMP, "seccomp", "seccomp u p"},
	{unix.SYS_SENDMSG, "sendmsg", "d p u"},
	{unix.SYS_SENDTO, "sendto", "d - u u p u"},
	{unix.SYS_SETHOSTNAME, "sethostname", "b u"},
	{unix.SYS_SETNS, "setns", "d clone"},
	{unix.SYS_SETPGID, "setpgid", "d d"},
	{unix.SYS_SETSID, "setsid", ""},
	{unix.SYS_SOCKET, "socket", "af sock netlink"},
	{unix.SYS_SYMLINKAT, "symlinkat", "p d p"},
	{unix.SYS_UMASK, "umask", "o"},
	{unix.SYS_UMOUNT2, "umount2", "p umount"},
	{unix.SYS_UNLINKAT, "unlinkat", "d p unlink"},
	{unix.SYS_UNSHARE, "unshare", "clone"},
	{unix.SYS_WRITE, "write", "d b u"},
	{sysSetgroups, "setgroups", "u p"},
	{sysSetresgid, "setresgid", "d d d"},
	{sysSetresuid, "setresuid", "d d d"},
}

// bit is a flag's name, or a value's.
type bit struct {
	value uint64
	name  string
}

// names are the names of flags and values, by what systemCalls calls them.
var names = []struct {
	kind string
	bits []bit
}{
	{"clone", cloneFlags},
	{"mount", []bit{{unix.MS_RDONLY, "MS_RDONLY"}, {unix.MS_NOSUID, "MS_NOSUID"}, {unix.MS_NODEV, "MS_NODEV"}, {unix.MS_NOEXEC, "MS_NOEXEC"}, {unix.MS_REMOUNT, "MS_REMOUNT"}, {unix.MS_BIND, "MS_BIND"}, {unix.MS_REC, "MS_REC"}, {unix.MS_PRIVATE, "MS_PRIVATE"}, {unix.MS_MOVE, "MS_MOVE"}}},
	{"umount", []bit{{unix.MNT_DETACH, "MNT_DETACH"}}},
	{"access", []bit{{unix.F_OK, "F_OK"}}},
	{"fcntl", []bit{{unix.F_GETFD, "F_GETFD"}}},
	{"at", []bit{{unix.AT_EMPTY_PATH, "AT_EMPTY_PATH"}, {unix.AT_RECURSIVE, "AT_RECURSIVE"}}},
	{"open", []bit{{unix.O_WRONLY, "O_WRONLY"}, {unix.O_RDWR, "O_RDWR"}, {unix.O_CREAT, "O_CREAT"}, {unix.O_EXCL, "O_EXCL"}, {unix.O_NOCTTY, "O_NOCTTY"}, {unix.O_CLOEXEC, "O_CLOEXEC"}}},
	{"unlink", []bit{{unix.AT_REMOVEDIR, "AT_REMOVEDIR"}}},
	{"sock", []bit{{unix.SOCK_CLOEXEC, "SOCK_CLOEXEC"}, {unix.SOCK_RAW, "SOCK_RAW"}}},
	{"msg", []bit{{unix.MSG_DONTWAIT, "MSG_DONTWAIT"}}},
	{"af", []bit{{unix.AF_NETLINK, "AF_NETLINK"}}},
	{"signal", []bit{{uint64(unix.SIGKILL), "SIGKILL"}}},
	{"ioctl", []bit{{unix.TIOCSPTLCK, "TIOCSPTLCK"}, {unix.TIOCGPTPEER, "TIOCGPTPEER"}, {unix.TIOCSCTTY, "TIOCSCTTY"}, {unix.TIOCGPGRP, "TIOCGPGRP"}, {unix.TCGETS, "TCGETS"}, {unix.TCSETS, "TCSETS"}}},
	{"sched", []bit{{1, "SCHED_FIFO"}}},
	{"futex", []bit{{4, "FUTEX_CMP_REQUEUE"}}},
	{"keyctl", []bit{{unix.KEYCTL_JOIN_SESSION_KEYRING, "KEYCTL_JOIN_SESSION_KEYRING"}}},
	{"prctl", []bit{{unix.PR_SET_NAME, "PR_SET_NAME"}, {unix.PR_SET_PDEATHSIG, "PR_SET_PDEATHSIG"}, {unix.PR_SET_DUMPABLE, "PR_SET_DUMPABLE"}, {unix.PR_SET_NO_NEW_PRIVS, "PR_SET_NO_NEW_PRIVS"}, {unix.PR_CAPBSET_DROP, "PR_CAPBSET_DROP"}}},
	{"rlimit", []bit{{unix.RLIMIT_NOFILE, "RLIMIT_NOFILE"}}},
	{"how", []bit{{unix.SIG_SETMASK, "SIG_SETMASK"}}},
	{"seccomp", []bit{{unix.SECCOMP_SET_MODE_FILTER, "SECCOMP_SET_MODE_FILTER"}}},
	{"netlink", []bit{{unix.NETLINK_ROUTE, "NETLINK_ROUTE"}, {unix.NETLINK_NETFILTER, "NETLINK_NETFILTER"}}},
	{"move", []bit{{moveEmptySource, "MOVE_MOUNT_F_EMPTY_PATH"}, {moveFollowLinks, "MOVE_MOUNT_T_SYMLINKS"}}},
	{"tree", []bit{{openTreeClone, "OPEN_TREE_CLONE"}, {unix.O_CLOEXEC, "OPEN_TREE_CLOEXEC"}, {unix.AT_RECURSIVE, "AT_RECURSIVE"}}},
}

var cloneFlags = []bit{
	{unix.CLONE_NEWNS, "CLONE_NEWNS"}, {unix.CLONE_NEWUTS, "CLONE_NEWUTS"}, {unix.CLONE_NEWIPC, "CLONE_NEWIPC"},
	{unix.CLONE_NEWPID, "CLONE_NEWPID"}, {unix.CLONE_NEWNET, "CLONE_NEWNET"}, {unix.CLONE_NEWCGROUP, "CLONE_NEWCGROUP"},
	{unix.CLONE_PARENT, "CLONE_PARENT"}, {unix.CLONE_PIDFD, "CLONE_PIDFD"}, {unix.CLONE_CLEAR_SIGHAND, "CLONE_CLEAR_SIGHAND"}, {unix.CLONE_INTO_CGROUP, "CLONE_INTO_CGROUP"},
}

// bits is flags by their names, more between them and a number for what has no
// name.
func bits(table []bit, v uint64, more ...string) string {
	var all []string
	for _, b := range table {
		if b.value == v {
			all, v = append(all, b.name), 0
			break
		}
	}
	for _, b := range table {
		if b.value != 0 && v&b.value == b.value {
			all, v = append(all, b.name), v&^b.value
		}
	}
	all = append(all, more...)
	switch {
	case v != 0:
		all = append(all, fmt.Sprintf("%#x", v))
	case len(all) == 0:
		return "0"
	}
	return strings.Join(all, "|")
}

// called is the child's name.
func (p *program) called() string {
	for _, s := range p.setUp {
		if s.trap == unix.SYS_PRCTL && s.args[0] == unix.PR_SET_NAME {
			return strings.Trim(p.objects()[s.args[1]], `"`)
		}
	}
	return "child"
}

// objects is what the program keeps, in words, by the address.
func (p *program) objects() map[uintptr]string {
	all := make(map[uintptr]string, len(p.bytes)+len(p.keep))
	for _, b := range p.bytes {
		at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
		if len(b) > 1 && b[len(b)-1] == 0 { // a string
			b = b[:len(b)-1]
		}
		all[at] = strconv.Quote(string(b))
	}
	for _, k := range p.keep {
		switch k := k.(type) {
		case []uintptr:
			all[uintptr(unsafe.Pointer(unsafe.SliceData(k)))] = listWords(k, func(a uintptr) string { return all[a] })
		case []uint32:
			all[uintptr(unsafe.Pointer(unsafe.SliceData(k)))] = strings.ReplaceAll(fmt.Sprint(k), " ", ", ")
		case *passing:
			all[uintptr(unsafe.Pointer(k))] = fmt.Sprintf("{SCM_RIGHTS, [%d]}", k.fd)
		case *mountAttr:
			all[uintptr(unsafe.Pointer(k))] = "{attr_set=" + strings.ReplaceAll(bits(bitNames("mount"), k.set), "MS_", "MOUNT_ATTR_") + "}"
		case *[2]unix.CapUserData:
			all[uintptr(unsafe.Pointer(k))] = "{" + capabilities(uint64(k[0].Effective)|uint64(k[1].Effective)<<32).words() + "}"
		case *unix.SockFprog:
			all[uintptr(unsafe.Pointer(k))] = fmt.Sprintf("{%d instructions}", k.Len)
		case *unix.Rlimit:
			all[uintptr(unsafe.Pointer(k))] = fmt.Sprintf("{%d, %d}", k.Cur, k.Max)
		case *unix.Timespec:
			all[uintptr(unsafe.Pointer(k))] = fmt.Sprintf("{%d, %d}", k.Sec, k.Nsec)
		case *unix.PollFd:
			all[uintptr(unsafe.Pointer(k))] = fmt.Sprintf("{%d, POLLIN}", k.Fd)
		}
	}
	return all
}

func listWords[T any](all []T, words func(T) string) string {
	var s []string
	for _, a := range all {
		if w := words(a); w != "" { // execve's lists end with NULL
			s = append(s, w)
		}
	}
	return "[" + strings.Join(s, ", ") + "]"
}

func bitNames(kind string) []bit {
	for _, n := range names {
		if n.kind == kind {
			return n.bits
		}
	}
	return nil
}

// words is the names of the capabilities in a set.
func (c capabilities) words() string {
	switch c {
	case noCaps:
		return "none"
	case allCaps:
		return "all"
	}
	var all []string
	for i, name := range capNames {
		if c&(1<<i) != 0 {
			all = append(all, "CAP_"+name)
		}
	}
	return strings.Join(all, "|")
}

// words is a step as a C program would have it, and what it is for where that
// says more.
func (s step) words(objects map[uintptr]string) string {
	for _, c := range systemCalls {
		if c.trap != s.trap {
			continue
		}
		var args []string
		for i, kind := range strings.Fields(c.args) {
			args = append(args, s.argument(i, kind, objects))
		}
		line := c.name + "(" + strings.Join(args, ", ") + ")"
		// "mkdir /dev/pts" is nothing new behind mkdirat, nor "remount" behind
		// MS_REMOUNT.
		if verb, _, _ := strings.Cut(s.text, " "); !strings.Contains(strings.ToLower(line), verb) {
			line += "  # " + s.text
		}
		return line
	}
	return fmt.Sprintf("syscall(%d)  # %s", s.trap, s.text)
}

func (s step) argument(i int, kind string, objects map[uintptr]string) string {
	a := s.args[i]
	switch kind {
	case "d":
		if int32(a) == unix.AT_FDCWD {
			return "AT_FDCWD"
		}
		return strconv.Itoa(int(int32(a)))
	case "u":
		if uint32(a) == ^uint32(0) {
			return "~0U"
		}
		return strconv.FormatUint(uint64(a), 10)
	case "o":
		return fmt.Sprintf("%#o", a)
	case "-":
		return "…"
	case "p", "b":
		text, ok := objects[a]
		switch {
		case a == 0:
			return "NULL"
		case !ok:
			return "…"
		}
		return text
	case "mode":
		return bits([]bit{{unix.S_IFCHR, "S_IFCHR"}, {unix.S_IFREG, "S_IFREG"}}, uint64(a&unix.S_IFMT), fmt.Sprintf("%#o", a&^unix.S_IFMT))
	case "dev":
		return fmt.Sprintf("makedev(%d, %d)", unix.Major(uint64(a)), unix.Minor(uint64(a)))
	case "=":
		return s.prctl(objects)
	}
	return bits(bitNames(kind), uint64(a))
}

// prctl is the second argument of prctl(2), which is another thing for each
// first.
func (s step) prctl(objects map[uintptr]string) string {
	a := s.args[1]
	switch s.args[0] {
	case unix.PR_SET_NAME:
		return objects[a]
	case unix.PR_SET_PDEATHSIG:
		return bits(bitNames("signal"), uint64(a))
	case unix.PR_CAPBSET_DROP:
		if int(a) < len(capNames) {
			return "CAP_" + capNames[a]
		}
	}
	return strconv.FormatUint(uint64(a), 10)
}
