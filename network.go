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

// insideName is the container's end of its veth, as the article names it.
const insideName = "veth1"

// makeVeth makes the pair, the host's end, with that name, on the bridge and
// the other in the network namespace of the process pid, and returns the
// host's end.
func makeVeth(c *nl.Conn, br rtnl.Link, name string, pid int, o *options) (rtnl.Link, error) {
	peer := rtnl.VethPeer{Name: insideName, PID: pid}
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

// removeVeth deletes a pair by its host's end, if the kernel has not yet.
func removeVeth(host rtnl.Link) error {
	c, err := rtnl.Dial()
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Do(rtnl.DeleteLink(host.Index, host.Name))
}

// configure gives the container's end its address and route, over a socket
// of the container's network namespace, and returns it.
func configure(c *nl.Conn, o *options) (rtnl.Link, error) {
	// Its index is 2, unless the kernel puts links of its own into every new
	// namespace (tunl0, sit0; sysctl net.core.fb_tunnels_only_for_init_net).
	l, err := rtnl.Get(c, rtnl.GetLink(insideName))
	if err != nil {
		return l, err
	}
	prefix := netip.PrefixFrom(o.address, o.gateway.Bits())
	err = c.Do(
		rtnl.Up(rtnl.LoopbackIndex, "lo"),
		rtnl.Set(l.Index, l.Name, rtnl.ARPNotify),
		rtnl.Address(l.Index, l.Name, prefix),
		rtnl.Up(l.Index, l.Name),
		rtnl.DefaultRoute(o.gateway.Addr()),
	)
	if err != nil {
		return l, fmt.Errorf("in the container's network namespace: %w", err)
	}
	return l, nil
}

// awaitPort returns when packets pass between the container and the host.
//
// The kernel notices that a link has a carrier in a work queue
// (net/core/link_watch.c). Until then the bridge drops what comes by the new
// port: the announcement, and the command's first packet, which would be sent
// again after a second. The bridge itself has a carrier only with a live port
// (br_port_state_selection, net/bridge/br_stp.c); if this one is the first, what
// the host sends by the bridge is dropped until its carrier is noticed too: the
// answer to that packet. Since Linux 6.13 asking for a link has the work done
// first (linkwatch_sync_dev); before, the notification is waited for.
func awaitPort(c *nl.Conn, br, host rtnl.Link) error {
	err := await(c, host.Index, func(l rtnl.Link) (bool, error) {
		if l.Master == 0 {
			return false, fmt.Errorf("link %s: it was taken off bridge %s", host.Name, br.Name)
		}
		return l.PortState == rtnl.Forwarding, nil
	})
	if err != nil {
		return err
	}
	err = await(c, br.Index, func(l rtnl.Link) (bool, error) { return l.IsRunning(), stays(l) })
	if errors.Is(err, rtnl.ErrNoLink) {
		return errCameBetween(br.Name)
	}
	return err
}

// await returns when a link is ready.
func await(c *nl.Conn, index uint32, ready func(rtnl.Link) (bool, error)) error {
	l, err := rtnl.Get(c, rtnl.GetLinkIndex(index))
	if err != nil {
		return err
	}
	if ok, err := ready(l); ok || err != nil {
		return err
	}
	w, err := rtnl.Watch()
	if err != nil {
		return err
	}
	defer w.Close()
	// What happened before the watch began is not told, so ask once more.
	for l, err = rtnl.Get(c, rtnl.GetLinkIndex(index)); err == nil; l, err = w.Next(index) {
		if ok, err := ready(l); ok || err != nil {
			return err
		}
	}
	return err
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
