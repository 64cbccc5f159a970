//go:build linux

package nat

import (
	"slices"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"container/nl"
)

// The sets and maps of the table. Everything that a bridge or a container
// adds is an element of one of them.
var (
	// bridges are the bridges that containers are on. ("bridge" is a word of
	// nft's own, which it can't read as a name.)
	bridges = set{name: "bridges", id: 1, key: fields{ifname}}

	// inside holds each bridge with itself: what stays on a bridge. (Such
	// packets are seen here when br_netfilter shows bridged frames to IP.)
	inside = set{name: "inside", id: 2, key: fields{ifname, ifname}}

	// networks are the addresses of each bridge.
	networks = set{name: "network", id: 3, key: fields{ipv4Addr}, flags: unix.NFT_SET_INTERVAL}

	// leases say who holds an address: the index of the host's veth. A lease
	// whose veth is gone is stale.
	leases = set{name: "lease", id: 4, key: fields{ipv4Addr}, value: fields{ifaceIndex}}

	// published ports lead to a container's address and port.
	published = set{name: "publish", id: 5, key: fields{inetProto, inetService}, value: fields{ipv4Addr, inetService}}

	// publishedAt are those that are published on one address of the host.
	publishedAt = set{name: "publish_at", id: 6, key: fields{ipv4Addr, inetProto, inetService}, value: fields{ipv4Addr, inetService}}

	// sysctls holds, as comments, the kernel settings that were changed and
	// what they were.
	sysctls = set{name: "sysctl", id: 7, key: fields{mark}}
)

// sets are all of them.
var sets = []set{bridges, inside, networks, leases, published, publishedAt, sysctls}

var chains = []chain{
	{"loopback", "filter", unix.NF_INET_PRE_ROUTING, raw},
	{"publish", "", 0, 0},
	{"prerouting", "nat", unix.NF_INET_PRE_ROUTING, dstnat},
	{"output", "nat", unix.NF_INET_LOCAL_OUT, dstnat},
	{"postrouting", "nat", unix.NF_INET_POST_ROUTING, srcnat},
	{"forward", "filter", unix.NF_INET_FORWARD, filter},
}

// What of the kernel the expressions of a rule come from.
const (
	fibOptions  = "nf_tables' fib expression: CONFIG_NFT_FIB, CONFIG_NFT_FIB_IPV4, module nft_fib_ipv4"
	natOptions  = "nf_tables' dnat statement: CONFIG_NFT_NAT, module nft_nat"
	masqOptions = "nf_tables' masquerade and ct expressions: CONFIG_NFT_MASQ, CONFIG_NFT_CT, modules nft_masq and nft_ct"
	ctOptions   = "nf_tables' ct expression: CONFIG_NFT_CT, module nft_ct"
)

// rules are all rules there are; containers add none.
func rules() []rule {
	return []rule{
		// route_localnet, which a published port needs to be reached at
		// 127.0.0.1, also lets a neighbour send to the host's own 127.0.0.1,
		// or from it (CVE-2020-8558). Before connection tracking and before
		// any destination is rewritten: nothing comes to or from loopback
		// addresses but by lo.
		{chain: "loopback", text: `iifname != "lo" ip daddr 127.0.0.0/8 drop`, exprs: list(
			iifname(1), notEqual(1, nameData("lo")),
			// The prefix is one byte long, so one byte is loaded.
			header(1, daddr, 1), equal(1, []byte{127}),
			verdict(expr.VerdictDrop),
		)},
		{chain: "loopback", text: `iifname != "lo" ip saddr 127.0.0.0/8 drop`, exprs: list(
			iifname(1), notEqual(1, nameData("lo")),
			header(1, saddr, 1), equal(1, []byte{127}),
			verdict(expr.VerdictDrop),
		)},

		// Published ports. The key is loaded field by field into the 4-byte
		// registers from 8 (where register 1 begins) on; the value comes back
		// in the same place, the address in 8 and the port in 9.
		{chain: "publish", text: `dnat ip to ip daddr . meta l4proto . th dport map @publish_at`, needs: natOptions, exprs: list(
			header(1, daddr, 4), l4proto(9), dport(10),
			lookupValue(1, publishedAt, 1),
			dnat(1, 9),
		)},
		{chain: "publish", text: `dnat ip to meta l4proto . th dport map @publish`, needs: natOptions, exprs: list(
			l4proto(1), dport(9),
			lookupValue(1, published, 1),
			dnat(1, 9),
		)},

		// Only what is for an address of this host: the same port of any
		// other machine is none of our business.
		{chain: "prerouting", text: `fib daddr type local jump publish`, needs: fibOptions, exprs: list(
			daddrType(1), equal(1, hostData(unix.RTN_LOCAL)),
			jump("publish"),
		)},
		{chain: "output", text: `fib daddr type local jump publish`, needs: fibOptions, exprs: list(
			daddrType(1), equal(1, hostData(unix.RTN_LOCAL)),
			jump("publish"),
		)},

		// From a container to the world: with the uplink's address. What the
		// host says to its own address on the bridge goes by lo, and is left
		// as it is.
		{chain: "postrouting", text: `oifname != "lo" oifname != @bridges ip saddr @network masquerade`, needs: masqOptions, exprs: list(
			oifname(1), notEqual(1, nameData("lo")), lookupNot(1, bridges),
			header(1, saddr, 4), lookup(1, networks),
			&expr.Masq{},
		)},
		// From 127.0.0.1 to a published port: the container could not answer
		// that.
		{chain: "postrouting", text: `oifname @bridges ip saddr 127.0.0.0/8 masquerade`, needs: masqOptions, exprs: list(
			oifname(1), lookup(1, bridges),
			header(1, saddr, 1), equal(1, []byte{127}),
			&expr.Masq{},
		)},
		// From a container to a published port of its neighbour, or its own:
		// the answer must come back this way to be translated back, and not
		// directly over the bridge.
		{chain: "postrouting", text: `oifname @bridges ip saddr @network ct status dnat masquerade`, needs: masqOptions, exprs: list(
			oifname(1), lookup(1, bridges),
			header(1, saddr, 4), lookup(1, networks),
			ctStatus(1), anyBit(1, ipsDstNAT), notEqual(1, hostData(0)),
			&expr.Masq{},
		)},

		// What is not published is closed: onto a bridge come answers, what
		// was let in by a published port, and what was on that bridge already.
		{chain: "forward", text: `ct state established,related accept`, needs: ctOptions, exprs: list(
			ctState(1), anyBit(1, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), notEqual(1, hostData(0)),
			verdict(expr.VerdictAccept),
		)},
		{chain: "forward", text: `oifname != @bridges accept`, exprs: list(
			oifname(1), lookupNot(1, bridges),
			verdict(expr.VerdictAccept),
		)},
		{chain: "forward", text: `ct status dnat accept`, needs: ctOptions, exprs: list(
			ctStatus(1), anyBit(1, ipsDstNAT), notEqual(1, hostData(0)),
			verdict(expr.VerdictAccept),
		)},
		{chain: "forward", text: `iifname . oifname @inside accept`, exprs: list(
			iifname(1), oifname(2), lookup(1, inside),
			verdict(expr.VerdictAccept),
		)},
		{chain: "forward", text: `drop`, exprs: list(verdict(expr.VerdictDrop))},
	}
}

// Ruleset is the table with its sets, chains and rules, empty of containers:
// one transaction, refused with EEXIST when the table is there.
func Ruleset() []nl.Request {
	reqs := []nl.Request{newTable()}
	for _, s := range sets {
		reqs = append(reqs, s.request())
	}
	for _, c := range chains {
		reqs = append(reqs, c.request())
	}
	for _, r := range rules() {
		reqs = append(reqs, r.request())
	}
	return reqs
}

// What follows are the expressions, with the meaning that `nft --debug=netlink`
// prints beside each.

func list(exprs ...expr.Any) []expr.Any { return exprs }

// Offsets of the addresses in an IPv4 header (RFC 791).
const (
	saddr = 12
	daddr = 16
)

// ipsDstNAT is IPS_DST_NAT in linux/netfilter/nf_conntrack_common.h: the
// destination of this connection was rewritten.
const ipsDstNAT = 1 << 5

// [ meta load iifname => reg R ]
func iifname(reg uint32) expr.Any { return &expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg} }

// [ meta load oifname => reg R ]
func oifname(reg uint32) expr.Any { return &expr.Meta{Key: expr.MetaKeyOIFNAME, Register: reg} }

// [ meta load l4proto => reg R ]: TCP is 6, UDP 17, SCTP 132
func l4proto(reg uint32) expr.Any { return &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg} }

// [ payload load Nb @ network header + OFFSET => reg R ]
func header(reg, offset, n uint32) expr.Any {
	return &expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: n}
}

// [ payload load 2b @ transport header + 2 => reg R ]: the destination port
// stands there in TCP, UDP and SCTP alike
func dport(reg uint32) expr.Any {
	return &expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}
}

// [ fib daddr type => reg R ]: RTN_LOCAL for an address of this host
func daddrType(reg uint32) expr.Any {
	return &expr.Fib{Register: reg, FlagDADDR: true, ResultADDRTYPE: true}
}

// [ ct load state => reg R ]
func ctState(reg uint32) expr.Any { return &expr.Ct{Key: expr.CtKeySTATE, Register: reg} }

// [ ct load status => reg R ]
func ctStatus(reg uint32) expr.Any { return &expr.Ct{Key: expr.CtKeySTATUS, Register: reg} }

// [ bitwise reg R = ( reg R & bits ) ^ 0x00000000 ]
func anyBit(reg, bits uint32) expr.Any {
	return &expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 4, Mask: hostData(bits), Xor: hostData(0)}
}

// [ cmp eq reg R DATA ]
func equal(reg uint32, data []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: data}
}

// [ cmp neq reg R DATA ]
func notEqual(reg uint32, data []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpNeq, Register: reg, Data: data}
}

// [ lookup reg R set NAME ]
func lookup(reg uint32, s set) expr.Any {
	return &expr.Lookup{SourceRegister: reg, SetName: s.name, SetID: s.id}
}

// [ lookup reg R set NAME 0x1 ]: matches what is not in the set
func lookupNot(reg uint32, s set) expr.Any {
	return &expr.Lookup{SourceRegister: reg, SetName: s.name, SetID: s.id, Invert: true}
}

// [ lookup reg R set NAME dreg D ]
func lookupValue(reg uint32, s set, dest uint32) expr.Any {
	return &expr.Lookup{SourceRegister: reg, SetName: s.name, SetID: s.id, DestRegister: dest, IsDestRegSet: true}
}

// [ nat dnat ip addr_min reg A proto_min reg P ]
func dnat(addr, port uint32) expr.Any {
	return &expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: addr, RegProtoMin: port}
}

// [ immediate reg 0 VERDICT ]
func verdict(kind expr.VerdictKind) expr.Any { return &expr.Verdict{Kind: kind} }

// [ immediate reg 0 jump -> CHAIN ]
func jump(chain string) expr.Any { return &expr.Verdict{Kind: expr.VerdictJump, Chain: chain} }

// Feature is a part of the ruleset that a kernel may lack.
type Feature struct {
	Name     string
	Options  string       // what brings it into the kernel
	Requests []nl.Request // a transaction that needs it, for a namespace without the table
}

// Features are the parts that the table needs, each with what it stands on.
func Features() []Feature {
	base := []nl.Request{newTable()}
	for _, s := range sets {
		base = append(base, s.request())
	}
	all := []Feature{{"nf_tables", "CONFIG_NF_TABLES CONFIG_NF_TABLES_IPV4", base}}
	nats := slices.Clone(base)
	for _, c := range chains {
		nats = append(nats, c.request())
	}
	all = append(all, Feature{"nat", "CONFIG_NFT_NAT CONFIG_NF_NAT CONFIG_NF_CONNTRACK", nats})
	for _, f := range []struct{ name, options, needs string }{
		{"ct", "CONFIG_NFT_CT", ctOptions},
		{"fib", "CONFIG_NFT_FIB CONFIG_NFT_FIB_IPV4", fibOptions},
		{"dnat", "CONFIG_NFT_NAT", natOptions},
		{"masquerade", "CONFIG_NFT_MASQ", masqOptions},
	} {
		reqs := slices.Clone(nats)
		for _, r := range rules() {
			if r.needs == f.needs {
				reqs = append(reqs, r.request())
			}
		}
		all = append(all, Feature{f.name, f.options, reqs})
	}
	return all
}
