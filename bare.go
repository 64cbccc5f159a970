//go:build linux

package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"

	"container/rtnl"
)

// Without nf_tables (-nat=false) there is no map of leases. What the kernel
// refuses to have twice is a link's name, so there the host's end of the veth is
// named after the container's address.

// leasedName is the name of the host's end of a veth that stands for an
// address: vethac10001e. Of an IPv6 address it is the last 5 bytes.
func leasedName(a netip.Addr) string {
	b := a.AsSlice()
	if len(b) > 5 {
		b = b[len(b)-5:]
	}
	return vethPrefix + hex.EncodeToString(b)
}

// awaitName returns when a name that is taken is free: a veth outlives its
// container by some milliseconds. It is an error if somebody lives behind it.
func (n *network) awaitName() error {
	l, err := rtnl.Get(n.route, rtnl.GetLink(n.name))
	if errors.Is(err, rtnl.ErrNoLink) {
		return nil
	}
	if err != nil {
		return err
	}
	who, ok := parseAlias(l.Alias)
	switch {
	case !ok && l.Alias == "":
		return fmt.Errorf("link %s: it is there already: another run is about to take the address", l.Name)
	case !ok:
		return fmt.Errorf("link %s: it is there already, and is none of ours", l.Name)
	case alive(who.pid):
		return &addressInUse{n.addresses[0].Addr(), describe(l, who)}
	}
	err = await(n.route, l.Index, func(rtnl.Link) (bool, error) { return false, nil })
	if errors.Is(err, rtnl.ErrNoLink) {
		return nil
	}
	return err
}

// chooseByName picks addresses that no container's veth stands for.
func (n *network) chooseByName(taken map[netip.Addr]bool) error {
	ports, err := rtnl.Ports(n.route, n.br.Index, n.br.Name)
	if err != nil {
		return err
	}
	for _, p := range ports {
		if who, ok := parseAlias(p.Alias); ok {
			for _, a := range who.addresses {
				taken[a] = true
			}
		}
	}
	for {
		if err := n.pick(taken); err != nil {
			return err
		}
		_, err := rtnl.Get(n.route, rtnl.GetLink(leasedName(n.addresses[0].Addr())))
		if errors.Is(err, rtnl.ErrNoLink) {
			answered, err := n.answered()
			if err != nil || answered == nil {
				n.o.addresses = n.addresses
				return err
			}
			taken[answered.address] = true
			continue
		}
		if err != nil {
			return err
		}
		taken[n.addresses[0].Addr()] = true
	}
}

// refuseNeighbours refuses addresses that a container on the bridge has: the
// name stands for one of two, and the ports that nf_tables knows are named
// otherwise.
func (n *network) refuseNeighbours() error {
	ports, err := rtnl.Ports(n.route, n.br.Index, n.br.Name)
	if err != nil {
		return err
	}
	for _, p := range ports {
		who, ok := parseAlias(p.Alias)
		if !ok || p.Index == n.host.Index || !alive(who.pid) {
			continue
		}
		for _, a := range n.addresses {
			if who.has(a.Addr()) {
				return &addressInUse{a.Addr(), describe(p, who)}
			}
		}
	}
	return nil
}
