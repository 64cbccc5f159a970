//go:build linux

package nat

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/nl"
)

// Port is a port of the host that leads to a container.
type Port struct {
	// HostIP is the one address that it is published on. An unspecified one
	// (0.0.0.0, ::) is all of its family, and the zero Addr all of those that
	// the container has an address of.
	HostIP   netip.Addr
	HostPort uint16
	Port     uint16 // the container's
	Proto    uint8  // unix.IPPROTO_TCP, IPPROTO_UDP or IPPROTO_SCTP
}

// In tells whether the port is published in a family.
func (p Port) In(f Family) bool { return !p.HostIP.IsValid() || FamilyOf(p.HostIP) == f }

// anywhere tells whether the port is published on all addresses of a family.
func (p Port) anywhere() bool { return !p.HostIP.IsValid() || p.HostIP.IsUnspecified() }

// ProtoName is the protocol's name: "tcp".
func (p Port) ProtoName() string {
	switch p.Proto {
	case unix.IPPROTO_TCP:
		return "tcp"
	case unix.IPPROTO_UDP:
		return "udp"
	case unix.IPPROTO_SCTP:
		return "sctp"
	}
	return fmt.Sprint(p.Proto)
}

// String is the port as -p takes it: "127.0.0.1:80:8000/tcp".
func (p Port) String() string {
	s := fmt.Sprintf("%d:%d/%s", p.HostPort, p.Port, p.ProtoName())
	if p.HostIP.IsValid() {
		s = HostWords(p.HostIP) + ":" + s
	}
	return s
}

// RangeString is String of so many ports that follow upon this one.
func (p Port) RangeString(n uint16) string {
	if n == 1 {
		return p.String()
	}
	s := fmt.Sprintf("%d-%d:%d-%d/%s", p.HostPort, p.HostPort+n-1, p.Port, p.Port+n-1, p.ProtoName())
	if p.HostIP.IsValid() {
		s = HostWords(p.HostIP) + ":" + s
	}
	return s
}

// HostWords is an address as it stands before a port: "[::1]".
func HostWords(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

// Claim is what one container has in the tables.
type Claim struct {
	Bridge string

	// Networks are the bridge's, of each family that an address is of, with the
	// host's own address there: what comes from there is masqueraded, and what
	// goes there is closed. None where the gateway is a router elsewhere.
	Networks []netip.Prefix

	Addresses []netip.Addr // one, or one of each family
	Index     uint32       // of the host's end of the container's veth

	// MAC is the container's end's hardware address. With it the container is
	// held to that and its own addresses (the table of family Bridge).
	MAC      net.HardwareAddr
	Isolated bool // from the bridge's other containers

	Ports []Port

	// Held is the process that has the addresses since before there was a veth
	// (Hold); 0 for none.
	Held int
}

// heldBy makes a process's number a lease's value: no link has an index so
// large.
const heldBy = 1 << 31

// Holder is the process that holds the lease while it sets a container up; 0
// when it is a veth's.
func (l Lease) Holder() int {
	if l.Index&heldBy == 0 {
		return 0
	}
	return int(l.Index &^ heldBy)
}

// Hold is a transaction that leases addresses to a process, which is about to
// set a container up. It is refused as Take is.
func Hold(addrs []netip.Addr, pid int) []nl.Request {
	return Claim{Addresses: addrs, Index: heldBy | uint32(pid)}.elements(unix.NFT_MSG_NEWSETELEM, create)
}

// Unhold is a transaction that takes that back, as Release does.
func Unhold(addrs []netip.Addr, pid int) []nl.Request {
	return Claim{Addresses: addrs, Index: heldBy | uint32(pid)}.Release()
}

// Families are those whose tables the claim is put in.
func (c Claim) Families() []Family {
	var all []Family
	for _, a := range c.Addresses {
		all = append(all, FamilyOf(a))
	}
	if c.MAC != nil {
		all = append(all, Bridge)
	}
	return all
}

// Take is a transaction that puts the claim in the tables, and its bridge, if
// that is not there. It is refused with ENOENT when a table is not there
// (Family.Ruleset), and with EEXIST when an address or a port is somebody's
// already, or the network overlaps another bridge's.
func (c Claim) Take() []nl.Request {
	var reqs []nl.Request
	if c.Held != 0 {
		reqs = Unhold(c.Addresses, c.Held)
	}
	return append(reqs, c.put(create)...)
}

// Restore is Take for what may be there in part, the same, after others have
// deleted something.
func (c Claim) Restore() []nl.Request { return c.put(add) }

func (c Claim) put(flags netlink.HeaderFlags) []nl.Request {
	reqs := c.bridge()
	reqs = append(reqs, c.elements(unix.NFT_MSG_NEWSETELEM, flags)...)
	reqs = append(reqs, c.life(unix.NFT_MSG_NEWSETELEM, add)...)
	reqs = append(reqs, c.isolation(unix.NFT_MSG_NEWSETELEM, add)...)
	reqs = append(reqs, c.asks()...)
	return append(reqs, c.guarded(unix.NFT_MSG_NEWSETELEM, add)...)
}

// Release is a transaction that takes the claim out of the tables again, and
// nothing else: each element is added once more before it is deleted. Adding
// what is there, with the same value, is no change; if the key has come to be
// somebody else's, the value differs, the answer is EEXIST, and nothing is
// deleted. So a claim can be released at any time, by one who does not know
// whether it was ever taken.
func (c Claim) Release() []nl.Request {
	var reqs []nl.Request
	for _, step := range []struct {
		typ   uint16
		flags netlink.HeaderFlags
	}{{unix.NFT_MSG_NEWSETELEM, add}, {unix.NFT_MSG_DELSETELEM, change}} {
		reqs = append(reqs, c.elements(step.typ, step.flags)...)
		reqs = append(reqs, c.life(step.typ, step.flags)...)
		reqs = append(reqs, c.isolation(step.typ, step.flags)...)
		reqs = append(reqs, c.guarded(step.typ, step.flags)...)
	}
	return reqs
}

// bridge is what all containers of a bridge need there.
func (c Claim) bridge() []nl.Request {
	name, quoted := nameData(c.Bridge), fmt.Sprintf("%q", c.Bridge)
	var reqs []nl.Request
	for _, n := range c.Networks {
		f := FamilyOf(n.Addr())
		network := f.networks().elements(unix.NFT_MSG_NEWSETELEM, add, interval(n)...)
		network.Advice = append([]nl.Advice{{Errno: unix.EEXIST, Text: "it overlaps the network of another bridge: nft list set " + f.table() + " " + f.networks().name}}, otherTable...)
		reqs = append(reqs,
			f.bridges().elements(unix.NFT_MSG_NEWSETELEM, add, element{key: name, text: quoted}),
			f.inside().elements(unix.NFT_MSG_NEWSETELEM, add, element{key: concat(name, name), text: quoted + " . " + quoted}),
			network)
	}
	return reqs
}

// life is the addresses as those of a container that is there, and not only
// about to be.
func (c Claim) life(typ uint16, flags netlink.HeaderFlags) []nl.Request {
	if c.Index&heldBy != 0 {
		return nil
	}
	var reqs []nl.Request
	for _, a := range c.Addresses {
		reqs = append(reqs, FamilyOf(a).living().elements(typ, flags, element{key: a.AsSlice(), text: a.String()}))
	}
	return reqs
}

// isolation is the addresses as those of an isolated container.
func (c Claim) isolation(typ uint16, flags netlink.HeaderFlags) []nl.Request {
	var reqs []nl.Request
	for _, a := range c.Addresses {
		if c.Isolated {
			reqs = append(reqs, FamilyOf(a).isolated().elements(typ, flags, element{key: a.AsSlice(), text: a.String()}))
		}
	}
	return reqs
}

// interval is a prefix as the kernel keeps it: its first address, and the one
// after its last, which ends it. A prefix that goes to the very last address
// has no such end.
func interval(p netip.Prefix) []element {
	first := p.Masked().Addr().AsSlice()
	elems := []element{{key: first, text: p.Masked().String()}}
	// One is added at the prefix's last bit, and carried.
	next := slices.Clone(first)
	if p.Bits() == 0 {
		return elems
	}
	i := (p.Bits() - 1) / 8
	one := byte(1) << (7 - (p.Bits()-1)%8)
	for ; i >= 0; i-- {
		next[i] += one
		if next[i] >= one {
			return append(elems, element{key: next, end: true})
		}
		one = 1
	}
	return elems
}

func (c Claim) elements(typ uint16, flags netlink.HeaderFlags) []nl.Request {
	var held []Lease
	var ports []Published
	for _, a := range c.Addresses {
		held = append(held, Lease{Address: a, Index: c.Index})
		for _, p := range c.Ports {
			if p.In(FamilyOf(a)) {
				ports = append(ports, Published{Port: p, Address: a})
			}
		}
	}
	return elements(typ, flags, held, ports)
}

// elements is messages about leases and ports, as few as will do: the answer
// to each takes room in the socket's receive buffer.
func elements(typ uint16, flags netlink.HeaderFlags, held []Lease, ports []Published) []nl.Request {
	var reqs []nl.Request
	for _, f := range []Family{IPv4, IPv6} {
		var holders, at, any []element
		for _, l := range held {
			if FamilyOf(l.Address) == f {
				holders = append(holders, element{
					key:   l.Address.AsSlice(),
					value: hostData(l.Index),
					text:  fmt.Sprintf("%s : %d", l.Address, l.Index),
				})
			}
		}
		for _, p := range ports {
			if FamilyOf(p.Address) != f {
				continue
			}
			e := element{
				key:   concat([]byte{p.Proto}, portData(p.HostPort)),
				value: concat(p.Address.AsSlice(), portData(p.Port.Port)),
				text:  fmt.Sprintf("%s . %d : %s . %d", p.ProtoName(), p.HostPort, p.Address, p.Port.Port),
			}
			if p.anywhere() {
				any = append(any, e)
				continue
			}
			e.key = concat(p.HostIP.AsSlice(), e.key)
			e.text = p.HostIP.String() + " . " + e.text
			at = append(at, e)
		}
		reqs = append(reqs, chunks(f.leases(), typ, flags, holders)...)
		ports := append(chunks(f.publishedAt(), typ, flags, at), chunks(f.published(), typ, flags, any)...)
		for i := range ports {
			ports[i].Advice = []nl.Advice{{Errno: unix.ENOENT, Text: "when the table was made, the kernel lacked what publishing takes: " + f.publishOptions() + "; once it is there: main down"}}
		}
		reqs = append(reqs, ports...)
	}
	return reqs
}

// chunks makes messages of so many elements that their list, an attribute of
// 64 KiB at most, can hold them: an element is below 100 bytes, or 160 with the
// longest comment.
func chunks(s set, typ uint16, flags netlink.HeaderFlags, elems []element) []nl.Request {
	const most = 400
	var reqs []nl.Request
	for len(elems) > 0 {
		n := min(most, len(elems))
		reqs = append(reqs, s.elements(typ, flags, elems[:n]...))
		elems = elems[n:]
	}
	return reqs
}

// Lease is an address and the index of the veth that holds it.
type Lease struct {
	Address netip.Addr
	Index   uint32
}

// Leases lists the leases of both families; none where there is no table.
func Leases(c *nl.Conn) ([]Lease, error) {
	var all []Lease
	for _, f := range []Family{IPv4, IPv6} {
		elems, err := f.leases().list(c)
		if err != nil {
			return nil, err
		}
		for _, e := range elems {
			addr, _ := netip.AddrFromSlice(e.key)
			all = append(all, Lease{Address: addr, Index: binary.NativeEndian.Uint32(e.value)})
		}
	}
	return all, nil
}

// Published is a published port and the address that it leads to.
type Published struct {
	Port
	Address netip.Addr
}

// PublishedPorts lists the published ports of both families; none where there
// is no table. One on all addresses of a family has that family's unspecified
// address.
func PublishedPorts(c *nl.Conn) ([]Published, error) {
	var all []Published
	for _, f := range []Family{IPv4, IPv6} {
		size := int(f.layer().size())
		for _, s := range []set{f.publishedAt(), f.published()} {
			elems, err := s.list(c)
			if err != nil {
				return nil, err
			}
			for _, e := range elems {
				p := Published{Port: Port{HostIP: f.unspecified()}}
				key := e.key
				if len(key) > 8 {
					p.HostIP, _ = netip.AddrFromSlice(key[:size])
					key = key[size:]
				}
				p.Proto, p.HostPort = key[0], binary.BigEndian.Uint16(key[4:])
				p.Address, _ = netip.AddrFromSlice(e.value[:size])
				p.Port.Port = binary.BigEndian.Uint16(e.value[size:])
				all = append(all, p)
			}
		}
	}
	return all, nil
}

func (f Family) unspecified() netip.Addr {
	if f == IPv6 {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

// Drop is a transaction that deletes what was found stale in a look at
// generation gen of the ruleset (BatchAt): leases and ports whoever holds them,
// and the life, the guards and the isolation of containers that are gone.
func Drop(stale []Lease, ports []Published, gone []Claim) []nl.Request {
	reqs := elements(unix.NFT_MSG_DELSETELEM, change, stale, ports)
	for _, c := range gone {
		// As in Release, for it may not be there.
		reqs = append(reqs, c.life(unix.NFT_MSG_NEWSETELEM, add)...)
		reqs = append(reqs, c.isolation(unix.NFT_MSG_NEWSETELEM, add)...)
		reqs = append(reqs, c.guarded(unix.NFT_MSG_NEWSETELEM, add)...)
		reqs = append(reqs, c.life(unix.NFT_MSG_DELSETELEM, change)...)
		reqs = append(reqs, c.isolation(unix.NFT_MSG_DELSETELEM, change)...)
		reqs = append(reqs, c.guarded(unix.NFT_MSG_DELSETELEM, change)...)
	}
	return reqs
}
