//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"container/cgroup"
	"container/nat"
	"container/nl"
	"container/rtnl"
)

// finding is what "main check -json" says of one thing that the kernel may
// have. Fields may be added; those that are here stay as they are.
type finding struct {
	Name   string
	OK     bool
	Needed bool   // a plain run needs it
	Config string // the kernel's options that bring it
	Lost   string // what does not work without it
	Error  string // how the kernel refused, empty when OK
	Loads  string // the modules that a run loads then, to have it (withModules)
}

func (f finding) fields() []field {
	return []field{
		{"name", jsonString(f.Name)},
		{"ok", strconv.FormatBool(f.OK)},
		{"needed", strconv.FormatBool(f.Needed)},
		{"config", jsonString(f.Config)},
		{"lost", jsonString(f.Lost)},
		{"error", jsonString(f.Error)},
		{"loads", jsonString(f.Loads)},
	}
}

// check tries what a run does, in a network namespace that is thrown away, and
// prints what works. It returns whether a plain run would.
func check(args []string, w, stderr io.Writer) (status int, err error) {
	o, x, err := parseVerb(args, stderr)
	if err != nil {
		return 0, err
	}
	defer x.close()
	all := probe(x)
	for _, f := range all {
		if f.Needed && !f.OK && f.Loads == "" {
			status = 1
		}
	}
	if o.json {
		return status, writeObjects(w, all)
	}
	return status, writeTable(w, checkRows(all))
}

// checkRows is the findings as a person reads them. The modules that a run loads
// are much the same for all that lacks them, and are told once, at the end.
func checkRows(all []finding) [][]string {
	var rows [][]string
	var modules []string
	for _, f := range all {
		switch {
		case f.OK:
			rows = append(rows, []string{"ok", f.Name, f.Config})
		case f.Loads != "":
			rows = append(rows, []string{"loads", f.Name, f.Config, "a run loads its modules first"})
			for name := range strings.FieldsSeq(f.Loads) {
				if !slices.Contains(modules, name) {
					modules = append(modules, name)
				}
			}
		default:
			rows = append(rows, []string{"missing", f.Name, f.Config, fmt.Sprintf("without it: %s (%s)", f.Lost, f.Error)})
		}
	}
	if len(modules) > 0 {
		rows = append(rows, []string{"the modules that a run loads: " + strings.Join(modules, " ")})
	}
	return rows
}

const everything = "no container at all"

func probe(x *narrator) []finding {
	var all []finding
	add := func(f finding, err error) {
		if f.OK = err == nil; !f.OK {
			f.Error = err.Error()
		}
		all = append(all, f)
	}
	for _, n := range []struct {
		flag         uint64
		name, config string
	}{
		{unix.CLONE_NEWNS, "mount namespace", "CONFIG_NAMESPACES"},
		{unix.CLONE_NEWPID, "pid namespace", "CONFIG_PID_NS"},
		{unix.CLONE_NEWUTS, "uts namespace", "CONFIG_UTS_NS"},
		{unix.CLONE_NEWIPC, "ipc namespace", "CONFIG_IPC_NS"},
		{unix.CLONE_NEWNET, "net namespace", "CONFIG_NET_NS"},
		{unix.CLONE_NEWCGROUP, "cgroup namespace", "CONFIG_CGROUPS"},
	} {
		b, err := newBurrow(x, n.flag, unix.NETLINK_ROUTE)
		if err == nil {
			b.kill()
		}
		add(finding{Name: n.name, Needed: true, Config: n.config, Lost: everything}, err)
	}

	links, err := newBurrow(x, unix.CLONE_NEWNET, unix.NETLINK_ROUTE)
	if err == nil {
		defer links.kill()
		err = links.conn.Do(rtnl.Bridge("br0", net.HardwareAddr{0x02, 0x42, 172, 16, 0, 100}))
	}
	add(finding{Name: "bridge", Needed: true, Config: "CONFIG_BRIDGE", Lost: everything, Loads: wouldLoad(err, linkModules[:1])}, err)
	if links != nil {
		err = links.conn.Do(rtnl.Veth("veth0", nil, "", 0, 0, rtnl.VethPeer{Name: insideName, PID: links.pid}))
	}
	add(finding{Name: "veth", Needed: true, Config: "CONFIG_VETH", Lost: everything, Loads: wouldLoad(err, linkModules[1:])}, err)

	rules, err := newBurrow(x, unix.CLONE_NEWNET, unix.NETLINK_NETFILTER)
	if err == nil {
		defer rules.kill()
	}
	for _, family := range nat.Families {
		for _, f := range family.Features() {
			if rules != nil {
				if err = nat.Commit(rules.conn, f.Requests); err == nil {
					err = nat.Commit(rules.conn, []nl.Request{family.DeleteTable()})
				}
			}
			found := finding{Name: f.Name, Config: f.Options, Loads: wouldLoad(err, natModules)}
			if family == nat.IPv6 {
				found.Name += " for IPv6"
			}
			switch {
			case f.Optional:
				found.Lost = "a client that goes on writing to a dead container's connection is not told"
			case f.Publish:
				found.Lost = "-p is refused"
			case family == nat.IPv4:
				found.Needed, found.Lost = true, "no leases, no way out by the host's address, no published ports (-nat=false does without)"
			case family == nat.IPv6:
				found.Lost = "no IPv6 addresses"
			case family == nat.Bridge:
				found.Lost = "-isolate is refused, and containers can pretend to have other addresses than theirs"
			}
			add(found, err)
		}
	}

	forward, err := readSysctl(ipForward)
	if err == nil {
		err = x.set(ipForward, forward)
	}
	add(finding{Name: "forwarding", Needed: true, Config: "CONFIG_SYSCTL, /proc/sys writable", Lost: "no way out of the bridge"}, err)
	add(finding{Name: "seccomp", Needed: true, Config: "CONFIG_SECCOMP_FILTER", Lost: "runs only with -privileged"}, seccompFilters())
	for _, c := range []struct{ name, config, flag string }{
		{"memory", "CONFIG_MEMCG", "-memory"},
		{"cpu", "CONFIG_CFS_BANDWIDTH", "-cpus"},
		{"pids", "CONFIG_CGROUP_PIDS", "-pids-limit"},
	} {
		where, err := cgroup.Where(c.name)
		if err == nil {
			c.config += ", " + where
		}
		add(finding{Name: "cgroup " + c.name, Config: c.config, Lost: c.flag + " is refused"}, err)
	}
	return all
}

// burrow is a throw-away namespace, a process that keeps it, and a netlink
// socket in it.
type burrow struct {
	*box
	conn *nl.Conn
}

func newBurrow(x *narrator, flags uint64, protocol int) (*burrow, error) {
	l, err := newLine()
	if err != nil {
		return nil, err
	}
	p := &program{line: uintptr(l.theirs)}
	p.setUp = append(p.setUp, keepOnly(l.theirs)...)
	p.setUp = append(p.setUp, dieWithParent())
	p.setUp = append(p.setUp, p.sendSocket(protocol, 0)...)
	p.setUp = append(p.setUp, p.waitForGo())
	b := &burrow{box: &box{x: x, prog: p, line: l, pidfd: -1}}
	if err := b.start(flags, new(cgroup.Group)); err != nil {
		l.close()
		return nil, err
	}
	if b.conn, err = b.socket(protocol); err != nil {
		b.box.kill()
		return nil, err
	}
	return b, nil
}

func (b *burrow) kill() {
	b.conn.Close()
	b.box.kill()
}

// seccompFilters asks whether the kernel takes filters (SECCOMP_GET_ACTION_AVAIL,
// seccomp(2), Linux 4.14).
func seccompFilters() error {
	action := uint32(unix.SECCOMP_RET_ERRNO)
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}
