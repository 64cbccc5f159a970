//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"container/nat"
	"container/rtnl"
)

// choose gives a container the lowest free address of each network, and leases
// it on the spot, to this process: there is no veth yet, whose index the lease
// will have in the end (Claim.Held). If many ask at once, the kernel lets one of
// them have an address, and the others look further.
func (n *network) choose(u *undo) error {
	taken := make(map[netip.Addr]bool)
	if err := n.takenByHost(taken); err != nil {
		return err
	}
	if !n.o.nat {
		return n.chooseByName(taken)
	}
	n.hold()
	n.holder = holderNumber(os.Getpid())
	swept := false
	for {
		gen, leases, err := n.leased()
		if err != nil {
			return err
		}
		for _, l := range leases {
			taken[l.Address] = true
		}
		if err := n.pick(taken); err != nil {
			if swept {
				return err
			}
			// What dead runs have left may be in the way.
			swept = true
			if s, serr := survey(n.x); serr == nil && s.sweep() == nil {
				clear(taken)
				if err := n.takenByHost(taken); err != nil {
					return err
				}
				continue
			}
			return err
		}
		switch err := n.leaseEarly(gen); {
		case errors.Is(err, unix.ERESTART), errors.Is(err, unix.EEXIST), errors.Is(err, unix.ENOENT):
			continue // somebody was faster, or "main down" came between
		case err != nil:
			return err
		}
		answered, err := n.answered()
		if err != nil || answered == nil {
			u.add(n.releaseEarly)
			n.o.addresses = n.addresses
			return err
		}
		n.releaseEarly()
		taken[answered.address] = true
	}
}

// takenByHost adds the addresses of the host itself, and the gateways.
func (n *network) takenByHost(taken map[netip.Addr]bool) error {
	for _, g := range n.gateways() {
		// Of one family: each veth has a link-local IPv6 address.
		list, err := rtnl.Addresses(n.route, uint8(nat.FamilyOf(g.Addr())))
		if err != nil {
			return err
		}
		for _, a := range list {
			taken[a.Prefix.Addr()] = true
		}
		taken[g.Addr()] = true
	}
	return nil
}

// leased lists the leases, at a generation of the ruleset that they are of or
// from before, with the tables of the gateways' families made.
func (n *network) leased() (gen uint32, all []nat.Lease, err error) {
	var families []nat.Family
	for _, g := range n.gateways() {
		families = append(families, nat.FamilyOf(g.Addr()))
	}
	if err := n.makeTables(families); err != nil {
		return 0, nil, err
	}
	if gen, err = nat.Generation(n.nat); err != nil {
		return 0, nil, err
	}
	all, err = nat.Leases(n.nat)
	return gen, all, err
}

// pick picks an address of each network: the lowest that is not taken.
func (n *network) pick(taken map[netip.Addr]bool) error {
	n.addresses = nil
	for _, g := range n.gateways() {
		a, ok := free(g, taken)
		if !ok {
			return fmt.Errorf("auto: no free address in %s", g.Masked())
		}
		n.addresses = append(n.addresses, netip.PrefixFrom(a, g.Bits()))
	}
	return nil
}

// free is the lowest address of a network that a host can have and nobody has.
func free(network netip.Prefix, taken map[netip.Addr]bool) (netip.Addr, bool) {
	for a := network.Masked().Addr().Next(); network.Contains(a); a = a.Next() {
		if !taken[a] && reserved(a, network) == "" {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// leaseEarly leases the addresses to this process, if the ruleset is still of
// the generation at which they were free. If it isn't, the kernel says so at
// once; a transaction that it refuses for its content takes it an RCU grace
// period, with all others waiting (__nf_tables_abort, net/netfilter).
func (n *network) leaseEarly(gen uint32) error {
	return n.nat.Do(nat.BatchAt(gen, nat.Hold(addrs(n.addresses), n.holder))...)
}

// releaseEarly takes that back, unless the lease has become a container's.
func (n *network) releaseEarly() { _ = nat.Commit(n.nat, nat.Unhold(addrs(n.addresses), n.holder)) }

// answered is which of the addresses has somebody on the wire; nil if none has.
func (n *network) answered() (*addressInUse, error) {
	if err := n.solicit(); err != nil {
		return nil, err
	}
	err := n.refuseAnswered()
	n.solicited = false
	var who *addressInUse
	if errors.As(err, &who) {
		return who, nil
	}
	return nil, err
}
