//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"container/file"
)

// capabilities is a set of capabilities, by their numbers in
// linux/capability.h.
type capabilities uint64

// capNames are the capabilities' names by number, without CAP_.
var capNames = [...]string{
	unix.CAP_CHOWN: "CHOWN", unix.CAP_DAC_OVERRIDE: "DAC_OVERRIDE", unix.CAP_DAC_READ_SEARCH: "DAC_READ_SEARCH",
	unix.CAP_FOWNER: "FOWNER", unix.CAP_FSETID: "FSETID", unix.CAP_KILL: "KILL", unix.CAP_SETGID: "SETGID",
	unix.CAP_SETUID: "SETUID", unix.CAP_SETPCAP: "SETPCAP", unix.CAP_LINUX_IMMUTABLE: "LINUX_IMMUTABLE",
	unix.CAP_NET_BIND_SERVICE: "NET_BIND_SERVICE", unix.CAP_NET_BROADCAST: "NET_BROADCAST", unix.CAP_NET_ADMIN: "NET_ADMIN",
	unix.CAP_NET_RAW: "NET_RAW", unix.CAP_IPC_LOCK: "IPC_LOCK", unix.CAP_IPC_OWNER: "IPC_OWNER",
	unix.CAP_SYS_MODULE: "SYS_MODULE", unix.CAP_SYS_RAWIO: "SYS_RAWIO", unix.CAP_SYS_CHROOT: "SYS_CHROOT",
	unix.CAP_SYS_PTRACE: "SYS_PTRACE", unix.CAP_SYS_PACCT: "SYS_PACCT", unix.CAP_SYS_ADMIN: "SYS_ADMIN",
	unix.CAP_SYS_BOOT: "SYS_BOOT", unix.CAP_SYS_NICE: "SYS_NICE", unix.CAP_SYS_RESOURCE: "SYS_RESOURCE",
	unix.CAP_SYS_TIME: "SYS_TIME", unix.CAP_SYS_TTY_CONFIG: "SYS_TTY_CONFIG", unix.CAP_MKNOD: "MKNOD",
	unix.CAP_LEASE: "LEASE", unix.CAP_AUDIT_WRITE: "AUDIT_WRITE", unix.CAP_AUDIT_CONTROL: "AUDIT_CONTROL",
	unix.CAP_SETFCAP: "SETFCAP", unix.CAP_MAC_OVERRIDE: "MAC_OVERRIDE", unix.CAP_MAC_ADMIN: "MAC_ADMIN",
	unix.CAP_SYSLOG: "SYSLOG", unix.CAP_WAKE_ALARM: "WAKE_ALARM", unix.CAP_BLOCK_SUSPEND: "BLOCK_SUSPEND",
	unix.CAP_AUDIT_READ: "AUDIT_READ", unix.CAP_PERFMON: "PERFMON", unix.CAP_BPF: "BPF",
	unix.CAP_CHECKPOINT_RESTORE: "CHECKPOINT_RESTORE",
}

const (
	noCaps  = capabilities(0)
	allCaps = capabilities(1)<<len(capNames) - 1

	// defaultCaps are those that Docker gives.
	defaultCaps = capabilities(1<<unix.CAP_AUDIT_WRITE | 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_FOWNER |
		1<<unix.CAP_FSETID | 1<<unix.CAP_KILL | 1<<unix.CAP_MKNOD | 1<<unix.CAP_NET_BIND_SERVICE | 1<<unix.CAP_NET_RAW |
		1<<unix.CAP_SETFCAP | 1<<unix.CAP_SETGID | 1<<unix.CAP_SETPCAP | 1<<unix.CAP_SETUID | 1<<unix.CAP_SYS_CHROOT)
)

// parseCap reads a capability's name, with or without CAP_, in any case, or
// ALL.
func parseCap(s string) (capabilities, error) {
	name := strings.TrimPrefix(strings.ToUpper(s), "CAP_")
	if name == "ALL" {
		return allCaps, nil
	}
	for i, n := range capNames {
		if n == name {
			return 1 << i, nil
		}
	}
	return 0, fmt.Errorf("%q is not a capability (capabilities(7))", s)
}

// grant is what a container may do: the default, or all, changed by -cap-add
// and -cap-drop, of which the more particular counts: "-cap-drop ALL -cap-add
// CHOWN" leaves CHOWN, in any order.
//
// own is what the caller has. Of ALL it is all of that; a capability that is
// asked for by its name must be there.
func grant(added, dropped []capabilities, privileged bool, own capabilities) (capabilities, error) {
	set := defaultCaps
	if privileged {
		set = allCaps
	}
	var add, drop capabilities
	for _, c := range dropped {
		if c == allCaps {
			set = noCaps
		} else {
			drop |= c
		}
	}
	for _, c := range added {
		if c == allCaps {
			set = allCaps
		} else {
			add |= c
		}
	}
	for i, name := range capNames {
		if c := capabilities(1) << i; add&c != 0 && own&c == 0 {
			return 0, fmt.Errorf("-cap-add %s: the caller hasn't got it to give", name)
		}
	}
	return (set&^drop | add) & own, nil
}

// ownCaps is what this process may do, and so the most that it can give.
func ownCaps() (capabilities, error) {
	head := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(head, &data[0]); err != nil {
		return 0, os.NewSyscallError("capget", err)
	}
	return capabilities(data[0].Permitted) | capabilities(data[1].Permitted)<<32, nil
}

// lastCap is the highest capability that the kernel knows.
func lastCap() (int, error) {
	b, err := file.ReadUpTo("/proc/sys/kernel/cap_last_cap", 16)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || n < 0 || n > 63 {
		return 0, errors.Join(errors.New("/proc/sys/kernel/cap_last_cap: not a capability"), err)
	}
	return n, nil
}

// bound limits what any execve from here on can give.
func (p *program) bound(set capabilities) ([]step, error) {
	last, err := lastCap()
	if err != nil {
		return nil, err
	}
	steps := make([]step, 0, last+1)
	for i := range last + 1 {
		if set&(1<<i) == 0 {
			steps = append(steps, call("drop capability "+strconv.Itoa(i)+" from the bounding set", unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(i), 0, 0, 0))
		}
	}
	return steps, nil
}

// setCaps makes a process's permitted and effective sets; nothing is
// inheritable (CVE-2022-24769).
//
// The steps for capset(2) take the sets in two halves, and the header says so.
func (p *program) setCaps(set capabilities) step {
	head := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := &[2]unix.CapUserData{
		{Effective: uint32(set), Permitted: uint32(set)},
		{Effective: uint32(set >> 32), Permitted: uint32(set >> 32)},
	}
	p.keep = append(p.keep, head, data)
	return call("capset", unix.SYS_CAPSET, uintptr(unsafe.Pointer(head)), uintptr(unsafe.Pointer(data)))
}
