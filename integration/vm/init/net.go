//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/nl"
	"container/rtnl"
)

// The machine is a host with an uplink to a machine outside, which is a network
// namespace and knows nothing of the containers' networks.
//
//	outside eth0 10.0.0.2/24 ──── eth0 10.0.0.1/24 host
//	        fd00:10::2/64              fd00:10::1/64
type machine struct {
	outside int    // its network namespace
	tid     int    // a thread there
	before  string // the host before the first case
}

var (
	hostPrefixes    = []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("fd00:10::1/64")}
	outsidePrefixes = []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24"), netip.MustParsePrefix("fd00:10::2/64")}
)

func newMachine() (*machine, error) {
	m := &machine{}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // for ever: the thread is the namespace's anchor
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			m.tid = unix.Gettid()
			m.outside, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		ready <- err
		select {}
	}()
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("a network namespace: %w", err)
	}
	if err := m.join(); err != nil {
		return nil, err
	}
	err := m.away(func() error {
		if err := serve("tcp", ":7"); err != nil {
			return err
		}
		return serve("udp", ":7")
	})
	if err != nil {
		return nil, err
	}
	m.before, err = snapshot()
	return m, err
}

// away runs f outside, on a thread of its own. Sockets that f makes belong
// there for good.
func (m *machine) away(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := unix.Setns(m.outside, unix.CLONE_NEWNET)
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// join lays the cable between the two, without which there is no lab: on a
// kernel without veths the host is on its own.
func (m *machine) join() error {
	up := func(dev string, prefixes []netip.Prefix) error {
		// Nobody waits for an answer of somebody who has the same address.
		_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+dev+"/accept_dad", []byte("0"), 0)
		c, err := rtnl.Dial(nil)
		if err != nil {
			return err
		}
		defer c.Close()
		l, err := rtnl.Get(c, rtnl.GetLink(dev))
		if err != nil {
			return err
		}
		reqs := []nl.Request{rtnl.Up(rtnl.LoopbackIndex, "lo"), rtnl.Up(l.Index, dev)}
		for _, p := range prefixes {
			reqs = append(reqs, rtnl.Address(l.Index, dev, p))
		}
		return c.Do(reqs...)
	}
	c, err := rtnl.Dial(nil)
	if err != nil {
		return err
	}
	defer c.Close()
	err = c.Do(rtnl.Veth("eth0", nil, "none", 0, 0, rtnl.VethPeer{Name: "eth0", PID: m.tid}))
	if errors.Is(err, unix.EOPNOTSUPP) {
		return c.Do(rtnl.Up(rtnl.LoopbackIndex, "lo"))
	}
	if err != nil {
		return err
	}
	if err := m.away(func() error { return up("eth0", outsidePrefixes) }); err != nil {
		return fmt.Errorf("outside: %w", err)
	}
	if err := up("eth0", hostPrefixes); err != nil {
		return fmt.Errorf("host: %w", err)
	}
	for _, p := range outsidePrefixes {
		if err := c.Do(rtnl.DefaultRoute(p.Addr())); err != nil {
			return err
		}
	}
	// A link's address is in use some time after it was given.
	return eventually(func() error {
		l, err := rtnl.Get(c, rtnl.GetLink("eth0"))
		if err != nil || !l.IsRunning() {
			return fmt.Errorf("eth0 is not running: %v", err)
		}
		return m.away(func() error {
			routes, err := os.ReadFile("/proc/thread-self/net/ipv6_route")
			if err == nil && strings.Count(string(routes), " eth0\n") < 4 {
				return errors.New("outside has no routes")
			}
			return nil
		})
	})
}

// eventually waits until a condition holds: what the kernel does in its own
// time.
func eventually(condition func() error) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		err := condition()
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// patience is how long anything may take that must happen.
const patience = 3 * time.Minute

// snapshot is what a run changes on a host, or may: links, tables of nf_tables,
// settings, mounts, control groups.
func snapshot() (string, error) {
	var lines []string
	c, err := rtnl.Dial(nil)
	if err != nil {
		return "", err
	}
	defer c.Close()
	links, err := rtnl.List(c)
	if err != nil {
		return "", err
	}
	for _, l := range links {
		lines = append(lines, fmt.Sprintf("link %d %s %s %#x", l.Index, l.Name, l.MAC, l.Flags))
	}
	tables, err := nfTables()
	if err != nil {
		return "", err
	}
	lines = append(lines, tables...)
	groups, _ := filepath.Glob("/sys/fs/cgroup/*/cgroup.procs")
	lines = append(lines, groups...)
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	lines = append(lines, strings.Split(strings.TrimSpace(string(b)), "\n")...)
	err = filepath.WalkDir("/proc/sys/net", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		// What counts is no setting.
		if base := filepath.Base(name); base == "nf_conntrack_count" || base == "random" {
			return nil
		}
		if value, err := os.ReadFile(name); err == nil {
			lines = append(lines, name+" = "+strings.TrimSpace(string(value)))
		}
		return nil
	})
	return strings.Join(lines, "\n"), err
}

// nfTables is a line for each table of nf_tables: none, where the kernel has no
// nf_tables.
func nfTables() ([]string, error) {
	c, err := nl.Dial(unix.NETLINK_NETFILTER, nil)
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer c.Close()
	answers, err := c.Query(nl.Request{
		Type:  unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETTABLE,
		Flags: netlink.Request | netlink.Dump,
		Data:  make([]byte, 4), // struct nfgenmsg
		What:  "list tables",
	})
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	var lines []string
	for _, a := range answers {
		ad, err := netlink.NewAttributeDecoder(a.Data[4:])
		if err != nil {
			return nil, err
		}
		for ad.ByteOrder = binary.BigEndian; ad.Next(); {
			if ad.Type() == unix.NFTA_TABLE_NAME {
				lines = append(lines, fmt.Sprintf("table family %d %s", a.Data[0], ad.String()))
			}
		}
	}
	return lines, err
}

// differences are the lines of one text that another has not. A module that was
// loaded in between brings settings that nobody had before, and no others.
func differences(before, after string) error {
	was, is := strings.Split(before, "\n"), strings.Split(after, "\n")
	var lines []string
	for _, l := range was {
		if !slices.Contains(is, l) {
			lines = append(lines, "- "+l)
		}
	}
	keys := map[string]bool{}
	for _, l := range was {
		key, _, _ := strings.Cut(l, " = ")
		keys[key] = true
	}
	for _, l := range is {
		key, _, setting := strings.Cut(l, " = ")
		if !slices.Contains(was, l) && (!setting || keys[key]) {
			lines = append(lines, "+ "+l)
		}
	}
	if len(lines) > 0 {
		return errors.New("the host is not as it was:\n" + strings.Join(lines, "\n"))
	}
	return nil
}
