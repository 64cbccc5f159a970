//go:build linux

package nat

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/nl"
)

// The table of the bridge family stands at the ports of the bridges, where a
// frame comes in from a container: it lets a container speak with the
// addresses that it was given, and no others. A port is known by its index. At
// one that is not ours (an uplink, a virtual machine) all may be said but that a
// container's address is there.

// ports are the host's veths.
func ports() set {
	return set{family: Bridge, name: "ports", id: Bridge.id(1), key: fields{ifaceIndex}}
}

// macs, addresses and addresses6 are what may be said at a port.
func macs() set {
	return set{family: Bridge, name: "macs", id: Bridge.id(2), key: fields{ifaceIndex, etherAddr}}
}

func addresses() set {
	return set{family: Bridge, name: "addresses", id: Bridge.id(3), key: fields{ifaceIndex, ipv4Addr}}
}

func addresses6() set {
	return set{family: Bridge, name: "addresses6", id: Bridge.id(4), key: fields{ifaceIndex, ipv6Addr}}
}

// targets are addresses6 once more, as what a neighbour advertisement is about.
// nft(8) before 1.0.9 has no word for that and takes it for a number, which it
// looks up in no set of addresses.
func targets() set {
	return set{
		family: Bridge, name: "targets", id: Bridge.id(6), key: fields{ifaceIndex, integer16},
		typeof: "iif . @nh,384,128", typeofData: targetType(),
	}
}

// isolatedPorts have nothing to do with other ports of ours.
func isolatedPorts() set {
	return set{family: Bridge, name: "isolated", id: Bridge.id(5), key: fields{ifaceIndex}}
}

// owned and owned6 are the addresses that containers have been leased, of which
// no port but the container's may say where they are. A container that has
// ended would: its network namespace lives on for milliseconds, or for as long
// as the kernel delivers the rest of a connection, and answers for an address
// that may be another container's by then. The link-local address that a
// container makes of its hardware address is not in owned6: it is not leased,
// and may be there twice, on two bridges.
//
// That holds at the ports of all bridges, and a machine with such an address on
// another bridge is not heard of there. Which bridge a port is on could be asked
// (ibrname), but not of every kernel (CONFIG_NFT_BRIDGE_META).
func owned() set {
	return set{family: Bridge, name: "owned", id: Bridge.id(7), key: fields{ipv4Addr}}
}

// owned6 are looked up as what a neighbour advertisement is about; see targets.
func owned6() set {
	return set{
		family: Bridge, name: "owned6", id: Bridge.id(8), key: fields{integer16},
		typeof: "@nh,384,128", typeofData: targetPayload(),
	}
}

func guardSets() []set {
	return []set{ports(), macs(), addresses(), addresses6(), targets(), isolatedPorts(), owned(), owned6()}
}

// targetAt is where the target stands behind the start of an IPv6 header: 8
// bytes of ICMPv6 behind the 40 of the header, when no other is in between.
const targetAt = 40 + 8

// targetType is "iif . @nh,384,128" as nft(8) keeps it, and targetPayload its
// second half: expressions by their numbers (enum expr_types in nftables'
// include/expression.h), each with what it loads.
func targetType() []byte {
	const meta, concat = 9, 13
	return typeofExpression(concat,
		userBytes(0, typeofExpression(meta, userNumber(0, unix.NFT_META_IIF))),
		userBytes(1, targetPayload()))
}

func targetPayload() []byte {
	const (
		payload       = 7
		networkHeader = 2 // PROTO_BASE_NETWORK_HDR in include/proto.h
	)
	return typeofExpression(payload,
		userNumber(0, 0), userNumber(1, 0), // no protocol that it knows, no field
		userNumber(2, networkHeader), userNumber(3, 8*targetAt), userNumber(4, 128))
}

func typeofExpression(number uint32, data ...[]byte) []byte {
	return slices.Concat(userNumber(0, number), userBytes(1, data...))
}

// bridgeFilter is where the bridge family filters, NF_BR_PRI_FILTER_BRIDGED:
// before br_netfilter shows the frame to IP, at 0.
const bridgeFilter = -200

func guardChains() []chain {
	return []chain{
		{"prerouting", "filter", unix.NF_INET_PRE_ROUTING, bridgeFilter},
		{"forward", "filter", unix.NF_INET_FORWARD, bridgeFilter},
	}
}

// Numbers of ICMPv6 (RFC 4861, RFC 3810).
const (
	routerAdvert    = 134
	neighbourAdvert = 136
	redirect        = 137
	listenerReport  = 143
)

func guardRules() []rule {
	var all []rule
	add := func(chain, text string, exprs ...expr.Any) {
		all = append(all, rule{chain: chain, text: text, needs: bridgeOptions, exprs: exprs})
	}
	drop, accept := verdict(expr.VerdictDrop), verdict(expr.VerdictAccept)
	ipv6 := func(more ...expr.Any) []expr.Any {
		return append([]expr.Any{etherType(1), equal(1, []byte{0x86, 0xdd})}, more...)
	}
	icmpv6 := func(typ byte, more ...expr.Any) []expr.Any {
		return append([]expr.Any{
			l4proto(1), equal(1, []byte{unix.IPPROTO_ICMPV6}),
			transport(1, 0, 1), equal(1, []byte{typ}),
		}, more...)
	}

	// What the frame is, is looked at first in each of these; nft(8) leaves it
	// out, where the rest says it.
	// Where an address is, the neighbours believe from the sender's addresses in
	// ARP, which stand behind 8 bytes (RFC 826), and from the target of an
	// advertisement, whoever sends it. The target is where it is looked for when
	// ICMPv6 (the next header, at 6) is next to the header; nobody has a reason
	// to put anything in between.
	add("prerouting", `arp saddr ip @owned iif != @ports drop`,
		etherType(1), equal(1, []byte{0x08, 0x06}),
		header(1, 14, 4), lookup(1, owned()),
		iif(1), lookupNot(1, ports()), drop)
	add("prerouting", `ip6 nexthdr != ipv6-icmp icmpv6 type nd-neighbor-advert drop`,
		ipv6(slices.Concat(
			[]expr.Any{header(1, 6, 1), notEqual(1, []byte{unix.IPPROTO_ICMPV6})},
			icmpv6(neighbourAdvert, drop))...)...)
	add("prerouting", `icmpv6 type nd-neighbor-advert @nh,384,128 @owned6 iif != @ports drop`,
		ipv6(icmpv6(neighbourAdvert,
			header(1, targetAt, 16), lookup(1, owned6()),
			iif(1), lookupNot(1, ports()), drop)...)...)
	add("prerouting", `iif != @ports accept`,
		iif(1), lookupNot(1, ports()), accept)
	add("prerouting", `iif . ether saddr != @macs drop`,
		iif(1), frame(firstWord+1, 6, 6), lookupNot(1, macs()), drop)
	// What is tagged is shown without its tag below.
	add("prerouting", `ether type 8021q drop`,
		frame(1, 12, 2), equal(1, []byte{0x81, 0x00}), drop)
	add("prerouting", `ether type 8021ad drop`,
		frame(1, 12, 2), equal(1, []byte{0x88, 0xa8}), drop)
	add("prerouting", `iif . arp saddr ether @macs iif . arp saddr ip @addresses accept`,
		etherType(1), equal(1, []byte{0x08, 0x06}),
		iif(1), header(firstWord+1, 8, 6), lookup(1, macs()),
		iif(1), header(firstWord+1, 14, 4), lookup(1, addresses()),
		accept)
	add("prerouting", `iif . ip saddr @addresses accept`,
		etherType(1), equal(1, []byte{0x08, 0x00}),
		iif(1), header(firstWord+1, IPv4.layer().saddr, 4), lookup(1, addresses()),
		accept)
	// A container is nobody's router.
	add("prerouting", `icmpv6 type nd-router-advert drop`,
		ipv6(icmpv6(routerAdvert, drop)...)...)
	add("prerouting", `icmpv6 type nd-redirect drop`,
		ipv6(icmpv6(redirect, drop)...)...)
	add("prerouting", `icmpv6 type nd-neighbor-advert iif . @nh,384,128 != @targets drop`,
		ipv6(icmpv6(neighbourAdvert,
			iif(1), header(firstWord+1, targetAt, 16), lookupNot(1, targets()), drop)...)...)
	// Which groups it listens to it says before it has an address.
	add("prerouting", `ip6 saddr :: icmpv6 type mld2-listener-report accept`,
		ipv6(slices.Concat(
			[]expr.Any{header(1, IPv6.layer().saddr, 16), equal(1, make([]byte, 16))},
			icmpv6(listenerReport, accept))...)...)
	add("prerouting", `iif . ip6 saddr @addresses6 accept`,
		ipv6(iif(1), header(firstWord+1, IPv6.layer().saddr, 16), lookup(1, addresses6()), accept)...)
	add("prerouting", `drop`, drop)

	// Isolation is by these two rules and not by the bridge's own
	// (IFLA_BRPORT_ISOLATED), which stops what comes by a published port as
	// well, where br_netfilter rewrites the destination at the bridge. A frame
	// that is for the host by its address (PACKET_HOST), and leaves by a port
	// nevertheless, is such a one.
	add("forward", `meta pkttype != host iif @isolated oif @ports drop`,
		pktType(1), notEqual(1, []byte{unix.PACKET_HOST}),
		iif(1), lookup(1, isolatedPorts()),
		oif(1), lookup(1, ports()), drop)
	add("forward", `meta pkttype != host iif @ports oif @isolated drop`,
		pktType(1), notEqual(1, []byte{unix.PACKET_HOST}),
		iif(1), lookup(1, ports()),
		oif(1), lookup(1, isolatedPorts()), drop)
	return all
}

// [ meta load iif => reg R ]
func iif(reg uint32) expr.Any { return &expr.Meta{Key: expr.MetaKeyIIF, Register: reg} }

// [ meta load oif => reg R ]
func oif(reg uint32) expr.Any { return &expr.Meta{Key: expr.MetaKeyOIF, Register: reg} }

// [ meta load protocol => reg R ]: the frame's type, big-endian
func etherType(reg uint32) expr.Any { return &expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: reg} }

// [ meta load pkttype => reg R ]
func pktType(reg uint32) expr.Any { return &expr.Meta{Key: expr.MetaKeyPKTTYPE, Register: reg} }

// [ payload load Nb @ link header + OFFSET => reg R ]
func frame(reg, offset, n uint32) expr.Any {
	return &expr.Payload{DestRegister: reg, Base: expr.PayloadBaseLLHeader, Offset: offset, Len: n}
}

// [ payload load Nb @ transport header + OFFSET => reg R ]
func transport(reg, offset, n uint32) expr.Any {
	return &expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: n}
}

// guarded is what a container may say at its port, what others may not, and
// whether it is isolated. It goes with the leases in one transaction, which is
// refused when an address has come to be somebody else's: so nobody deletes
// another's.
func (c Claim) guarded(typ uint16, flags netlink.HeaderFlags) []nl.Request {
	if c.MAC == nil {
		return nil
	}
	index, words := hostData(c.Index), fmt.Sprint(c.Index)
	port := element{key: index, text: words}
	reqs := []nl.Request{
		ports().elements(typ, flags, port),
		macs().elements(typ, flags, element{key: concat(index, c.MAC), text: words + " . " + c.MAC.String()}),
	}
	for _, a := range c.Addresses {
		if a.Is4() {
			reqs = append(reqs, addresses().elements(typ, flags, element{
				key: concat(index, a.AsSlice()), text: words + " . " + a.String(),
			}), owned().elements(typ, flags, element{key: a.AsSlice(), text: a.String()}))
			continue
		}
		var sources, abouts []element
		for _, own := range []netip.Addr{a, linkLocal(c.MAC)} {
			key := concat(index, own.AsSlice())
			sources = append(sources, element{key: key, text: words + " . " + own.String()})
			abouts = append(abouts, element{key: key, text: fmt.Sprintf("%s . %#x", words, own.AsSlice())})
		}
		reqs = append(reqs, addresses6().elements(typ, flags, sources...), targets().elements(typ, flags, abouts...),
			owned6().elements(typ, flags, element{key: a.AsSlice(), text: fmt.Sprintf("%#x", a.AsSlice())}))
	}
	if c.Isolated {
		reqs = append(reqs, isolatedPorts().elements(typ, flags, port))
	}
	return reqs
}

// linkLocal is the address that a link gives itself by its hardware address
// (EUI-64, RFC 4291 appendix A).
func linkLocal(mac net.HardwareAddr) netip.Addr {
	a := [16]byte{0: 0xfe, 1: 0x80, 11: 0xff, 12: 0xfe}
	copy(a[8:], mac[:3])
	copy(a[13:], mac[3:])
	a[8] ^= 2
	return netip.AddrFrom16(a)
}

// Isolated lists the indexes of the ports that are isolated; none without the
// bridge family's table.
func Isolated(c *nl.Conn) ([]uint32, error) {
	elems, err := isolatedPorts().list(c)
	if err != nil {
		return nil, err
	}
	all := make([]uint32, len(elems))
	for i, e := range elems {
		all[i] = binary.NativeEndian.Uint32(e.key)
	}
	return all, nil
}

// Guard is a port of ours, by its index, and the hardware address that may
// speak there.
type Guard struct {
	Index uint32
	MAC   net.HardwareAddr
}

// Guards lists the guarded ports; none without the bridge family's table.
func Guards(c *nl.Conn) ([]Guard, error) {
	elems, err := macs().list(c)
	if err != nil {
		return nil, err
	}
	all := make([]Guard, len(elems))
	for i, e := range elems {
		all[i] = Guard{binary.NativeEndian.Uint32(e.key), net.HardwareAddr(slices.Clone(e.key[4:10]))}
	}
	return all, nil
}
