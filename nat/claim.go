//go:build linux

package nat

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/nl"
)

// Port is a port of the host that leads to a container.
type Port struct {
	HostIP   netip.Addr // the one address it is published on; the zero Addr is all
	HostPort uint16
	Port     uint16 // the container's
	Proto    uint8  // unix.IPPROTO_TCP, IPPROTO_UDP or IPPROTO_SCTP
}

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
		s = p.HostIP.String() + ":" + s
	}
	return s
}

// Claim is what one container has in the table.
type Claim struct {
	Bridge  string
	Network netip.Prefix // the bridge's
	Address netip.Addr
	Index   uint32 // of the host's end of the container's veth
	Ports   []Port
}

// Take is a transaction that puts the claim in the table, and its bridge, if
// that is not there. It is refused with ENOENT when the table is not there
// (Ruleset), and with EEXIST when the address or a port is somebody's
// already, or the network overlaps another bridge's.
func (c Claim) Take() []nl.Request {
	return append(c.bridge(), c.elements(unix.NFT_MSG_NEWSETELEM, create)...)
}

// Release is a transaction that takes the claim out of the table again, and
// nothing else: each element is added once more before it is deleted. Adding
// what is there, with the same value, is no change; if the key has come to be
// somebody else's, the value differs, the answer is EEXIST, and nothing is
// deleted. So a claim can be released at any time, by one who does not know
// whether it was ever taken.
func (c Claim) Release() []nl.Request {
	return append(c.elements(unix.NFT_MSG_NEWSETELEM, add), c.elements(unix.NFT_MSG_DELSETELEM, change)...)
}

// bridge is what all containers of a bridge need there.
func (c Claim) bridge() []nl.Request {
	name, quoted := nameData(c.Bridge), fmt.Sprintf("%q", c.Bridge)
	network := networks.elements(unix.NFT_MSG_NEWSETELEM, add, interval(c.Network)...)
	network.Advice = []nl.Advice{{Errno: unix.EEXIST, Text: "it overlaps the network of another bridge: nft list set " + inTable + " " + networks.name}}
	return []nl.Request{
		bridges.elements(unix.NFT_MSG_NEWSETELEM, add, element{key: name, text: quoted}),
		inside.elements(unix.NFT_MSG_NEWSETELEM, add, element{key: concat(name, name), text: quoted + " . " + quoted}),
		network,
	}
}

// interval is a prefix as the kernel keeps it: its first address, and the one
// after its last, which ends it. A prefix that goes to the very last address
// has no such end.
func interval(p netip.Prefix) []element {
	p = p.Masked()
	first := p.Addr().As4()
	elems := []element{{key: first[:], text: p.String()}}
	next := uint64(binary.BigEndian.Uint32(first[:])) + 1<<(32-p.Bits())
	if next < 1<<32 {
		elems = append(elems, element{key: binary.BigEndian.AppendUint32(nil, uint32(next)), end: true})
	}
	return elems
}

func (c Claim) elements(typ uint16, flags netlink.HeaderFlags) []nl.Request {
	ports := make([]Published, len(c.Ports))
	for i, p := range c.Ports {
		ports[i] = Published{Port: p, Address: c.Address}
	}
	return elements(typ, flags, []Lease{{Address: c.Address, Index: c.Index}}, ports)
}

// elements is messages about leases and ports, as few as will do: the answer
// to each takes room in the socket's receive buffer.
func elements(typ uint16, flags netlink.HeaderFlags, held []Lease, ports []Published) []nl.Request {
	var holders, at, any []element
	for _, l := range held {
		holders = append(holders, element{
			key:   l.Address.AsSlice(),
			value: hostData(l.Index),
			text:  fmt.Sprintf("%s : %d", l.Address, l.Index),
		})
	}
	for _, p := range ports {
		e := element{
			key:   concat([]byte{p.Proto}, portData(p.HostPort)),
			value: concat(p.Address.AsSlice(), portData(p.Port.Port)),
			text:  fmt.Sprintf("%s . %d : %s . %d", p.ProtoName(), p.HostPort, p.Address, p.Port.Port),
		}
		if p.HostIP.IsValid() {
			e.key = concat(p.HostIP.AsSlice(), e.key)
			e.text = p.HostIP.String() + " . " + e.text
			at = append(at, e)
		} else {
			any = append(any, e)
		}
	}
	reqs := chunks(leases, typ, flags, holders)
	reqs = append(reqs, chunks(publishedAt, typ, flags, at)...)
	return append(reqs, chunks(published, typ, flags, any)...)
}

// chunks makes messages of so many elements that their list, an attribute of
// 64 KiB at most, can hold them: an element is below 80 bytes, or 160 with the
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

// Leases lists the leases. ENOENT when there is no table.
func Leases(c *nl.Conn) ([]Lease, error) {
	elems, err := leases.list(c)
	if err != nil {
		return nil, err
	}
	all := make([]Lease, len(elems))
	for i, e := range elems {
		addr, _ := netip.AddrFromSlice(e.key)
		all[i] = Lease{Address: addr, Index: binary.NativeEndian.Uint32(e.value)}
	}
	return all, nil
}

// Published is a published port and the address that it leads to.
type Published struct {
	Port
	Address netip.Addr
}

// PublishedPorts lists the published ports. ENOENT when there is no table.
func PublishedPorts(c *nl.Conn) ([]Published, error) {
	var all []Published
	for _, s := range []set{publishedAt, published} {
		elems, err := s.list(c)
		if err != nil {
			return nil, err
		}
		for _, e := range elems {
			var p Published
			key := e.key
			if len(key) == 12 {
				p.HostIP, _ = netip.AddrFromSlice(key[:4])
				key = key[4:]
			}
			p.Proto, p.HostPort = key[0], binary.BigEndian.Uint16(key[4:])
			p.Address, _ = netip.AddrFromSlice(e.value[:4])
			p.Port.Port = binary.BigEndian.Uint16(e.value[4:])
			all = append(all, p)
		}
	}
	return all, nil
}

// Drop is a transaction that deletes leases and ports whoever holds them: for
// those that were found stale in a look at generation gen of the ruleset
// (BatchAt).
func Drop(stale []Lease, ports []Published) []nl.Request {
	return elements(unix.NFT_MSG_DELSETELEM, change, stale, ports)
}
