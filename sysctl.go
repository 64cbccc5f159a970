//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"

	"container/file"
	"container/nat"
	"container/nl"
	"container/rtnl"
)

// Settings are named by their path below /proc/sys: an interface's name may
// have the dots that sysctl(8) puts between the parts.
const (
	ipForward       = "net/ipv4/ip_forward"
	acceptRedirects = "net/ipv4/conf/all/accept_redirects"
)

func routeLocalnet(dev string) string { return "net/ipv4/conf/" + dev + "/route_localnet" }

// Of IPv6.
const ipv6Forward = "net/ipv6/conf/all/forwarding"

func acceptRA(dev string) string { return "net/ipv6/conf/" + dev + "/accept_ra" }

// readSysctl reads a setting. None that is read here has more than a number.
func readSysctl(name string) (string, error) {
	b, err := file.ReadUpTo("/proc/sys/"+name, 256)
	if err != nil {
		return "", sysctlError(name, "read", err)
	}
	return strings.TrimSpace(string(b)), nil
}

func writeSysctl(name, value string) error {
	if err := file.Write("/proc/sys/"+name, value); err != nil {
		return sysctlError(name, "set to "+value, err)
	}
	return nil
}

func sysctlError(name, what string, err error) error {
	advice := ""
	switch {
	case errors.Is(err, unix.EROFS):
		advice = " (/proc/sys is read-only here: set it outside)"
	case errors.Is(err, unix.ENOENT):
		advice = " (is /proc mounted, and CONFIG_SYSCTL in the kernel?)"
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Errorf("sysctl %s: %s: %w%s", name, what, err, advice)
}

// forward makes the host a router, if it isn't, and published ports reachable
// at 127.0.0.1. What is changed is first written down in the table, for down
// to put it back.
//
// It must be called when the container's lease is in the table: down looks at
// the leases after it has put the settings back, so one of the two notices the
// other.
func (n *network) forward() error {
	for _, g := range n.networks {
		if g.Addr().Is6() {
			if err := forward6(n.x, n.nat, n.name); err != nil {
				return err
			}
			continue
		}
		if err := forward4(n.x, n.nat, n.br); err != nil {
			return err
		}
	}
	return nil
}

func forward4(x *narrator, c *nl.Conn, br rtnl.Link) error {
	on, err := readSysctl(ipForward)
	if err != nil {
		return err
	}
	if on == "0" {
		old, err := beforeForwarding()
		if err != nil {
			return err
		}
		if err := remember(c, nat.IPv4, forwarding, old); err != nil {
			return err
		}
		if err := x.set(ipForward, "1"); err != nil {
			return err
		}
	}
	// Our own bridges are made with it; one of somebody else may lack it.
	name := routeLocalnet(br.Name)
	on, err = readSysctl(name)
	if err != nil || on != "0" {
		return err
	}
	if err := remember(c, nat.IPv4, ofLink+br.Index, []nat.Sysctl{{Name: name, Value: on}}); err != nil {
		return err
	}
	return x.set(name, "1")
}

// forward6 makes the host a router of IPv6, if it isn't. A router takes no
// routes and addresses from other routers' advertisements, and forgets those
// that it has, unless accept_ra is 2 (addrconf_fixup_forwarding,
// net/ipv6/addrconf.c): so that is set first, wherever they were taken. (Nothing
// comes to the host by a container's veth, which is a bridge's port.)
func forward6(x *narrator, c *nl.Conn, veth string) error {
	on, err := readSysctl(ipv6Forward)
	if err != nil || on != "0" {
		return err
	}
	// In this order they are put back: writing the first sets them all.
	old := []nat.Sysctl{{Name: ipv6Forward, Value: on}}
	var listening []string
	devs, err := file.List("/proc/sys/net/ipv6/conf")
	if err != nil {
		return err
	}
	for _, dev := range devs {
		if dev == veth || dev == "lo" {
			continue
		}
		forwards, err := readSysctl("net/ipv6/conf/" + dev + "/forwarding")
		if errors.Is(err, unix.ENOENT) {
			continue // an interface that went away meanwhile
		}
		if err != nil {
			return err
		}
		if forwards != "0" {
			old = append(old, nat.Sysctl{Name: "net/ipv6/conf/" + dev + "/forwarding", Value: forwards})
			continue
		}
		name := acceptRA(dev)
		if ra, err := readSysctl(name); err == nil && ra == "1" && dev != "all" {
			old = append(old, nat.Sysctl{Name: name, Value: ra})
			listening = append(listening, name)
		}
	}
	if err := remember(c, nat.IPv6, forwarding, old); err != nil {
		return err
	}
	for _, name := range listening {
		if err := x.set(name, "2"); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return x.set(ipv6Forward, "1")
}

// Under which numbers settings are remembered: those of forwarding together,
// and each link's by its index.
const (
	forwarding = 0
	ofLink     = 1 << 20
)

// remember writes down what settings were, before they are changed.
func remember(c *nl.Conn, f nat.Family, first uint32, old []nat.Sysctl) error {
	// EEXIST: they are in the table since an earlier change, which somebody
	// has taken back since. What they were at first is what counts.
	if err := nat.Commit(c, f.Remember(first, old)); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// beforeForwarding is what the settings are that writing net.ipv4.ip_forward
// changes (inet_forward_change, net/ipv4/devinet.c): turned on, it turns
// forwarding on for every interface and accept_redirects of "all" off; turned
// off again, the other way round. So it is first in the list, and then come
// those which that would not put back.
func beforeForwarding() ([]nat.Sysctl, error) {
	old := []nat.Sysctl{{Name: ipForward, Value: "0"}}
	redirects, err := readSysctl(acceptRedirects)
	if err != nil {
		return nil, err
	}
	if redirects != "1" {
		old = append(old, nat.Sysctl{Name: acceptRedirects, Value: redirects})
	}
	devs, err := file.List("/proc/sys/net/ipv4/conf")
	if err != nil {
		return nil, err
	}
	for _, dev := range devs {
		name := "net/ipv4/conf/" + dev + "/forwarding"
		value, err := readSysctl(name)
		if errors.Is(err, unix.ENOENT) {
			continue // an interface that went away meanwhile
		}
		if err != nil {
			return nil, err
		}
		if value != "0" {
			old = append(old, nat.Sysctl{Name: name, Value: value})
		}
	}
	return old, nil
}

// putBack sets settings to what they were, and gives what they were before
// that. Settings of interfaces that are gone are gone too.
func putBack(x *narrator, old []nat.Sysctl) (before []nat.Sysctl, err error) {
	for _, s := range old {
		value, err := readSysctl(s.Name)
		if errors.Is(err, unix.ENOENT) && strings.Contains(s.Name, "/conf/") {
			continue
		}
		if err != nil {
			return before, err
		}
		if value == s.Value {
			continue
		}
		if err := x.set(s.Name, s.Value); err != nil {
			return before, err
		}
		before = append(before, nat.Sysctl{Name: s.Name, Value: value})
	}
	return before, nil
}
