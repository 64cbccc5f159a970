//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// missing is the system calls that a test may want to be without.
var missing = map[string]uint32{
	"bind": unix.SYS_BIND, "clone": unix.SYS_CLONE, "clone3": unix.SYS_CLONE3, "close_range": unix.SYS_CLOSE_RANGE, "finit_module": unix.SYS_FINIT_MODULE, "getrandom": unix.SYS_GETRANDOM,
	"mount_setattr": unix.SYS_MOUNT_SETATTR, "move_mount": unix.SYS_MOVE_MOUNT, "open_tree": unix.SYS_OPEN_TREE, "openat2": unix.SYS_OPENAT2,
	"pidfd_open": unix.SYS_PIDFD_OPEN, "pidfd_send_signal": unix.SYS_PIDFD_SEND_SIGNAL, "pivot_root": unix.SYS_PIVOT_ROOT, "setns": unix.SYS_SETNS,
	"setsockopt": unix.SYS_SETSOCKOPT, "socket": unix.SYS_SOCKET,
}

var errnos = map[string]unix.Errno{
	"ENOSYS": unix.ENOSYS, "EPERM": unix.EPERM, "EINVAL": unix.EINVAL, "E2BIG": unix.E2BIG, "EPROTONOSUPPORT": unix.EPROTONOSUPPORT, "ENOPROTOOPT": unix.ENOPROTOOPT,
}

// without executes a command behind a seccomp filter that answers some system
// calls with an error: all of one name, or those where an argument has a bit of
// a mask ("/0:0x1000"), or is a value ("/1:=12").
func without(args []string) error {
	end := slices.Index(args, "--")
	if end < 0 || end == len(args)-1 {
		return fmt.Errorf("without takes system calls, --, and a command")
	}
	var code []unix.SockFilter
	for _, what := range args[:end] {
		part, err := refusal(what)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		code = append(code, part...)
	}
	code = append(code, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	path, err := exec.LookPath(args[end+1])
	if err != nil {
		return err
	}
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return fmt.Errorf("%s: %w", path, unix.Exec(path, args[end+1:], os.Environ()))
}

// refusal is the part of a filter for one system call. It falls through when
// that is another.
func refusal(what string) ([]unix.SockFilter, error) {
	what, word, _ := strings.Cut(what, "=E")
	errno, ok := errnos["E"+word]
	if !ok {
		return nil, fmt.Errorf("no error that is known here")
	}
	name, argument, some := strings.Cut(what, "/")
	nr, ok := missing[name]
	if !ok {
		return nil, fmt.Errorf("no system call that is known here")
	}
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	refuse := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)}
	if !some {
		return []unix.SockFilter{load(0), {Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nr, Jf: 1}, refuse}, nil
	}
	index, mask, _ := strings.Cut(argument, ":")
	test := uint16(unix.BPF_JSET)
	if value, exact := strings.CutPrefix(mask, "="); exact {
		test, mask = unix.BPF_JEQ, value
	}
	i, err := strconv.ParseUint(index, 0, 3)
	if err != nil {
		return nil, err
	}
	bits, err := strconv.ParseUint(mask, 0, 32)
	if err != nil {
		return nil, err
	}
	// struct seccomp_data has its arguments from byte 16 on.
	offset := 16 + 8*uint32(i)
	if runtime.GOARCH == "s390x" || strings.HasPrefix(runtime.GOARCH, "mips") && !strings.HasSuffix(runtime.GOARCH, "le") || runtime.GOARCH == "ppc64" {
		offset += 4
	}
	return []unix.SockFilter{
		load(0), {Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nr, Jf: 3},
		load(offset), {Code: unix.BPF_JMP | test | unix.BPF_K, K: uint32(bits), Jf: 1}, refuse,
	}, nil
}
