//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"container/nl"
	"container/rtnl"
)

// bridgeAlias is how a bridge says that it was made here, and may be taken
// away by "main down".
const bridgeAlias = "container: made by main, taken away by main down"

// leaving, with a process id behind it, is in the alias of one that this "main
// down" is about to take away.
const leaving = bridgeAlias + ", which is process "

// stays tells whether a bridge, as it is found when the container's lease is in
// the table, is not being taken away (see down).
func stays(br rtnl.Link) error {
	_, word, _ := strings.Cut(br.Alias, leaving)
	pid, _ := strconv.Atoi(word)
	// A down that was killed at it takes nothing away any more.
	if pid > 0 && unix.Kill(pid, 0) == nil {
		return errCameBetween(br.Name)
	}
	return nil
}

func errCameBetween(bridge string) error {
	return fmt.Errorf("bridge %s: main down has come between; try again", bridge)
}

// bridge finds the bridge, or makes it. One that somebody else made is used as
// it is, if it fits.
func bridge(c *nl.Conn, name string, gateway netip.Prefix, u *undo) (rtnl.Link, error) {
	br, err := rtnl.Get(c, rtnl.GetLink(name))
	if errors.Is(err, rtnl.ErrNoLink) {
		if br, err = makeBridge(c, name, gateway, u); !errors.Is(err, unix.EEXIST) {
			return br, err
		}
		// Another run was faster: what it made is good for this one too.
		br, err = rtnl.Get(c, rtnl.GetLink(name))
	}
	if err != nil {
		return br, err
	}
	return br, checkBridge(c, br, gateway)
}

func makeBridge(c *nl.Conn, name string, gateway netip.Prefix, u *undo) (rtnl.Link, error) {
	if err := c.Do(rtnl.Bridge(name, bridgeMAC(gateway))); err != nil {
		return rtnl.Link{}, err
	}
	br, err := rtnl.Get(c, rtnl.GetLink(name))
	if err != nil {
		return br, err
	}
	u.add(func() { _ = removeIdleBridge(br) })
	return br, completeBridge(c, br, gateway)
}

// completeBridge gives a new bridge of ours what it needs beside its making,
// and is content with what is there already.
func completeBridge(c *nl.Conn, br rtnl.Link, gateway netip.Prefix) error {
	err := c.Do(
		rtnl.SetAlias(br.Name, bridgeAlias),
		// For a published port to be reached at 127.0.0.1. What else it opens,
		// the ruleset's chain "loopback" closes.
		rtnl.Set(br.Index, br.Name, rtnl.RouteLocalnet),
		rtnl.Address(br.Index, br.Name, gateway),
	)
	if errors.Is(err, unix.EEXIST) {
		return nil // the address, the last of the three
	}
	return err
}

// bridgeMAC is the bridge's hardware address, made of its IPv4 address behind
// 02:42, as Docker's are: a bridge that is taken away and made again keeps it,
// and so does every neighbour's ARP entry for the gateway. Bit 1 of the first
// byte says that nobody assigned it (IEEE 802).
func bridgeMAC(gateway netip.Prefix) net.HardwareAddr {
	return append(net.HardwareAddr{0x02, 0x42}, gateway.Addr().AsSlice()...)
}

// removeIdleBridge takes back a bridge that a failed run made, unless others
// are on it by now.
func removeIdleBridge(br rtnl.Link) error {
	c, err := rtnl.Dial()
	if err != nil {
		return err
	}
	defer c.Close()
	links, err := rtnl.List(c)
	if err != nil {
		return err
	}
	for _, l := range links {
		if l.Master == br.Index {
			return nil
		}
	}
	return c.Do(rtnl.DeleteLink(br.Index, br.Name))
}

// checkBridge makes sure that an existing link is a bridge with the gateway's
// address. One of ours is completed, if the run that is making it, or made it,
// did not get so far yet.
func checkBridge(c *nl.Conn, br rtnl.Link, gateway netip.Prefix) error {
	if br.Kind != "bridge" {
		kind := br.Kind
		if kind == "" {
			kind = "device"
		}
		return fmt.Errorf("bridge %s: that is a %s, not a bridge", br.Name, kind)
	}
	addrs, err := rtnl.Addresses(c)
	if err != nil {
		return err
	}
	var others []string
	for _, a := range addrs {
		if a.Index != br.Index {
			continue
		}
		if a.Prefix == gateway {
			if !br.IsUp() {
				return fmt.Errorf("bridge %s: it is down (ip link set dev %s up)", br.Name, br.Name)
			}
			return nil
		}
		others = append(others, a.Prefix.String())
	}
	switch ours := strings.HasPrefix(br.Alias, bridgeAlias) || br.Alias == "" && bytes.Equal(br.MAC, bridgeMAC(gateway)); {
	case len(others) > 0:
		return fmt.Errorf("bridge %s: it has the address %s, not %s (-gateway tells the bridge's own address)", br.Name, strings.Join(others, ", "), gateway)
	case !ours:
		return fmt.Errorf("bridge %s: it has no address, and somebody else made it (ip addr add %s dev %s)", br.Name, gateway, br.Name)
	}
	return completeBridge(c, br, gateway)
}
