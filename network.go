//go:build linux

package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"

	"container/nl"
	"container/rtnl"
)

// The container's end of its veth, as the article names it. Its index can be
// chosen, for nothing but lo is in a new network namespace, so it needs no
// asking for.
const (
	insideName  = "veth1"
	insideIndex = 2
)

// makeVeth makes the pair, the host's end, with that name, on the bridge and
// the other in the network namespace of the process pid, and returns the
// host's end.
func makeVeth(c *nl.Conn, br rtnl.Link, name string, pid int, o *options) (rtnl.Link, error) {
	peer := rtnl.VethPeer{Name: insideName, Index: insideIndex, PID: pid}
	who := occupant{address: o.address, pid: pid, command: strings.Join(o.argv, " ")}
	err := c.Do(
		rtnl.Veth(name, br.Name, br.Index, 0, peer),
		rtnl.Port(name, true, who.alias()),
	)
	if err != nil {
		return rtnl.Link{}, err
	}
	return rtnl.Get(c, rtnl.GetLink(name))
}

// vethName is a name for the host's end that no other run has or had lately:
// a veth goes away some milliseconds after its container, so a name that is
// made of the address would still be taken.
func vethName() string {
	var b [4]byte
	_, _ = unix.Getrandom(b[:], 0) // 4 bytes come whole (getrandom(2))
	return "veth" + hex.EncodeToString(b[:])
}

// configure gives the container's end its address and route, over a socket
// of the container's network namespace.
func configure(c *nl.Conn, o *options) error {
	prefix := netip.PrefixFrom(o.address, o.gateway.Bits())
	err := c.Do(
		rtnl.Up(rtnl.LoopbackIndex, "lo"),
		rtnl.Set(insideIndex, insideName, rtnl.ARPNotify),
		rtnl.Address(insideIndex, insideName, prefix),
		rtnl.Up(insideIndex, insideName),
		rtnl.DefaultRoute(o.gateway.Addr()),
	)
	if err != nil {
		return fmt.Errorf("in the container's network namespace: %w", err)
	}
	return nil
}

// awaitPort returns when the bridge forwards what comes from the container.
//
// The kernel notices that both ends of a veth are up in a work queue
// (net/core/link_watch.c), and the bridge drops what comes by the port until
// then: the announcement, and the command's first packet, which would be
// sent again after a second. Since Linux 6.13 asking for the link has the
// work done first (linkwatch_sync_dev); before, the notification is waited for.
func awaitPort(c *nl.Conn, host rtnl.Link) error {
	l, err := rtnl.Get(c, rtnl.GetLinkIndex(host.Index))
	if err != nil || l.PortState == rtnl.Forwarding {
		return err
	}
	w, err := rtnl.Watch()
	if err != nil {
		return err
	}
	defer w.Close()
	// What happened before the watch began is not told, so ask once more.
	l, err = rtnl.Get(c, rtnl.GetLinkIndex(host.Index))
	for err == nil && l.PortState != rtnl.Forwarding {
		if l.Master == 0 {
			return fmt.Errorf("link %s: it was taken off its bridge", host.Name)
		}
		l, err = w.Next(host.Index)
	}
	return err
}

// announce tells the neighbours who has the address now: to one of them it may
// have been somebody else's a moment ago.
func announce(c *nl.Conn) error {
	l, err := rtnl.Get(c, rtnl.GetLinkIndex(insideIndex))
	if err != nil {
		return err
	}
	return c.Do(rtnl.Announce(insideIndex, insideName, l.MAC))
}

// occupant is what the alias of a host's veth says of the container behind
// it: "container 172.16.0.30 pid 4242 sleep 1000".
type occupant struct {
	address netip.Addr
	pid     int    // of the container's first process
	command string // its command line, as far as there is room for it
}

const aliasWord = "container"

func (w occupant) alias() string {
	printable := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, w.command)
	s := fmt.Sprintf("%s %s pid %d %s", aliasWord, w.address, w.pid, printable)
	if len(s) > rtnl.MaxAlias {
		s = strings.ToValidUTF8(s[:rtnl.MaxAlias], "")
	}
	return s
}

// parseAlias reads an alias; false when it is none of ours.
func parseAlias(s string) (occupant, bool) {
	f := strings.SplitN(s, " ", 5)
	if len(f) != 5 || f[0] != aliasWord || f[2] != "pid" {
		return occupant{}, false
	}
	addr, err := netip.ParseAddr(f[1])
	pid, err2 := strconv.Atoi(f[3])
	if errors.Join(err, err2) != nil || pid <= 0 {
		return occupant{}, false
	}
	return occupant{addr, pid, f[4]}, true
}

// holder is the link that holds a lease and what runs behind it; false when
// there is none: the lease is stale.
func holder(c *nl.Conn, index uint32, a netip.Addr) (rtnl.Link, occupant, bool, error) {
	l, err := rtnl.Get(c, rtnl.GetLinkIndex(index))
	if errors.Is(err, rtnl.ErrNoLink) {
		return l, occupant{}, false, nil
	}
	if err != nil {
		return l, occupant{}, false, err
	}
	who, ok := parseAlias(l.Alias)
	// An index may have come to be another link's.
	return l, who, ok && who.address == a, nil
}

// describe is the holder in an error's words: "veth1f3a (pid 4242, bash)".
func describe(l rtnl.Link, w occupant) string {
	name, _, _ := strings.Cut(w.command, " ")
	return fmt.Sprintf("%s (pid %d, %s)", l.Name, w.pid, path.Base(name))
}
