//go:build linux

package nat

import (
	"slices"
	"strings"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"container/nl"
)

// The sets and maps of the two tables that route, ip and ip6. Everything that a
// bridge or a container adds is an element of one of them.

// bridges are the bridges that containers are on. ("bridge" is a word of nft's
// own, which it can't read as a name.)
func (f Family) bridges() set {
	return set{family: f, name: "bridges", id: f.id(1), key: fields{ifname}}
}

// inside holds each bridge with itself: what stays on a bridge. (Bridged frames
// are seen here too where br_netfilter shows them to IP.)
func (f Family) inside() set {
	return set{family: f, name: "inside", id: f.id(2), key: fields{ifname, ifname}}
}

// networks are the addresses of each bridge.
func (f Family) networks() set {
	return set{family: f, name: "network", id: f.id(3), key: fields{f.layer().address}, flags: unix.NFT_SET_INTERVAL}
}

// leases say who holds an address: the index of the host's veth. A lease whose
// veth is gone is stale.
func (f Family) leases() set {
	return set{family: f, name: "lease", id: f.id(4), key: fields{f.layer().address}, value: fields{ifaceIndex}}
}

// published ports lead to a container's address and port.
func (f Family) published() set {
	return set{family: f, name: "publish", id: f.id(5), key: fields{inetProto, inetService}, value: fields{f.layer().address, inetService}}
}

// publishedAt are those that are published on one address of the host.
func (f Family) publishedAt() set {
	return set{
		family: f, name: "publish_at", id: f.id(6),
		key:   fields{f.layer().address, inetProto, inetService},
		value: fields{f.layer().address, inetService},
	}
}

// sysctls holds, as comments, the kernel settings that were changed and what
// they were.
func (f Family) sysctls() set {
	return set{family: f, name: "sysctl", id: f.id(7), key: fields{mark}}
}

// isolated are the addresses of containers that have nothing to do with their
// neighbours.
func (f Family) isolated() set {
	return set{family: f, name: "isolated", id: f.id(8), key: fields{f.layer().address}}
}

// living are the addresses of the containers that there are.
func (f Family) living() set {
	return set{family: f, name: "living", id: f.id(9), key: fields{f.layer().address}}
}

// id is a set's number, which no other set of any table has: before Linux 5.19
// a number alone was enough to name a set of another table.
func (f Family) id(n uint32) uint32 {
	return uint32(slices.Index(Families[:], f))<<4 + n
}

// sets are all of a family's.
func (f Family) sets() []set {
	if f == Bridge {
		return guardSets()
	}
	return []set{f.bridges(), f.inside(), f.networks(), f.leases(), f.published(), f.publishedAt(), f.sysctls(), f.isolated(), f.living()}
}

func (f Family) chains() []chain {
	if f == Bridge {
		return guardChains()
	}
	return []chain{
		{"publish", "", 0, 0},
		{"prerouting", "nat", unix.NF_INET_PRE_ROUTING, dstnat},
		{"input", "filter", unix.NF_INET_LOCAL_IN, filter},
		{"output", "nat", unix.NF_INET_LOCAL_OUT, dstnat},
		{"postrouting", "nat", unix.NF_INET_POST_ROUTING, srcnat},
		{"forward", "filter", unix.NF_INET_FORWARD, filter},
	}
}

// What of the kernel the expressions of a rule come from.
const (
	natOptions  = "nf_tables' dnat statement: CONFIG_NFT_NAT, module nft_nat"
	masqOptions = "nf_tables' masquerade and ct expressions: CONFIG_NFT_MASQ, CONFIG_NFT_CT, modules nft_masq and nft_ct"
	ctOptions   = "nf_tables' ct expression: CONFIG_NFT_CT, module nft_ct"

	// Where CONFIG_NFT_BRIDGE_META is a module, what bridges know of the meta
	// expression is all in there.
	bridgeOptions = "nf_tables for bridges: CONFIG_NF_TABLES_BRIDGE, CONFIG_NFT_BRIDGE_META, module nft_meta_bridge"
)

func (l layer) fibOptions() string {
	return "nf_tables' fib expression: CONFIG_NFT_FIB, CONFIG_NFT_FIB_" + l.options + ", module nft_fib_" + strings.ToLower(l.options)
}

// publishOptions is what published ports take.
func (f Family) publishOptions() string {
	name := f.layer().options
	return "CONFIG_NFT_FIB_" + name + " and CONFIG_NFT_NAT, modules nft_fib_" + strings.ToLower(name) + " and nft_nat"
}

// rules are all rules of a family's table; containers add none.
func (f Family) rules() []rule {
	if f == Bridge {
		return guardRules()
	}
	l := f.layer()
	src, dst := f.String()+" saddr ", f.String()+" daddr "
	var all []rule
	add := func(chain, text, needs string, exprs ...expr.Any) {
		all = append(all, rule{chain: chain, text: text, needs: needs, exprs: exprs})
	}

	// Published ports. The key is loaded field by field into the 4-byte
	// registers from 8 (where register 1 begins) on; the value comes back in
	// the same place, the address first and the port behind it.
	add("publish", `dnat `+f.String()+` to `+dst+`. meta l4proto . th dport map @publish_at`, natOptions,
		header(1, l.daddr, l.size()), l4proto(l.behind()), dport(l.behind()+1),
		lookupValue(1, f.publishedAt(), 1),
		dnat(f, 1, l.behind()))
	add("publish", `dnat `+f.String()+` to meta l4proto . th dport map @publish`, natOptions,
		l4proto(1), dport(firstWord+1),
		lookupValue(1, f.published(), 1),
		dnat(f, 1, l.behind()))

	// route_localnet, which a published port needs to be reached at 127.0.0.1,
	// also lets a neighbour send to the host's own 127.0.0.1, or from it
	// (CVE-2020-8558). Nothing comes to or from loopback addresses but by lo:
	// no connection is led away (NAT is asked about the first packet of each),
	// and no packet reaches the host. What goes from one machine to another
	// isn't held up by it.
	loopback := func(chain string) {
		for _, address := range []struct {
			text string
			at   uint32
		}{{dst, l.daddr}, {src, l.saddr}} {
			add(chain, address.text+l.loopbackText+` iifname != "lo" drop`, "",
				header(1, address.at, uint32(len(l.loopback))), equal(1, l.loopback),
				iifname(1), notEqual(1, nameData("lo")),
				verdict(expr.VerdictDrop))
		}
	}

	// Only what is for an address of this host: the same port of any other
	// machine is none of our business.
	loopback("prerouting")
	add("prerouting", `fib daddr type local jump publish`, l.fibOptions(),
		daddrType(1), equal(1, hostData(unix.RTN_LOCAL)),
		jump("publish"))
	if f == IPv4 {
		// What a container answers whom 127.0.0.1 has asked: its destination
		// is translated back by now.
		add("input", dst+l.loopbackText+` ct status snat accept`, ctOptions,
			header(1, l.daddr, uint32(len(l.loopback))), equal(1, l.loopback),
			ctStatus(1), anyBit(1, ipsSrcNAT), notEqual(1, hostData(0)),
			verdict(expr.VerdictAccept))
	}
	loopback("input")
	if f == IPv6 {
		// IPv6 has no route_localnet: what is sent from ::1 never leaves lo,
		// so what is sent to it is not led away.
		add("output", dst+l.loopbackText+` return`, "",
			header(1, l.daddr, l.size()), equal(1, l.loopback),
			verdict(expr.VerdictReturn))
	}
	add("output", `fib daddr type local jump publish`, l.fibOptions(),
		daddrType(1), equal(1, hostData(unix.RTN_LOCAL)),
		jump("publish"))

	// From a container to the world: with the uplink's address. What the host
	// says to its own address on the bridge goes by lo, and is left as it is.
	add("postrouting", `oifname != "lo" oifname != @bridges `+src+`@network masquerade`, masqOptions,
		oifname(1), notEqual(1, nameData("lo")), lookupNot(1, f.bridges()),
		header(1, l.saddr, l.size()), lookup(1, f.networks()),
		&expr.Masq{})
	if f == IPv4 {
		// From 127.0.0.1 to a published port: the container could not answer
		// that.
		add("postrouting", `oifname @bridges `+src+l.loopbackText+` masquerade`, masqOptions,
			oifname(1), lookup(1, f.bridges()),
			header(1, l.saddr, uint32(len(l.loopback))), equal(1, l.loopback),
			&expr.Masq{})
	}
	// From a container to a published port of its neighbour, or its own: the
	// answer must come back this way to be translated back, and not directly
	// over the bridge.
	add("postrouting", `oifname @bridges `+src+`@network ct status dnat masquerade`, masqOptions,
		oifname(1), lookup(1, f.bridges()),
		header(1, l.saddr, l.size()), lookup(1, f.networks()),
		ctStatus(1), anyBit(1, ipsDstNAT), notEqual(1, hostData(0)),
		&expr.Masq{})

	// What is not published is closed: onto a bridge come answers, what was let
	// in by a published port, and what was on that bridge already, unless one
	// of the two wants nothing to do with the other.
	add("forward", `ct state established,related accept`, ctOptions,
		ctState(1), anyBit(1, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), notEqual(1, hostData(0)),
		verdict(expr.VerdictAccept))
	add("forward", `oifname != @bridges accept`, "",
		oifname(1), lookupNot(1, f.bridges()),
		verdict(expr.VerdictAccept))
	add("forward", `ct status dnat accept`, ctOptions,
		ctStatus(1), anyBit(1, ipsDstNAT), notEqual(1, hostData(0)),
		verdict(expr.VerdictAccept))
	add("forward", src+`@isolated drop`, "",
		header(1, l.saddr, l.size()), lookup(1, f.isolated()),
		verdict(expr.VerdictDrop))
	add("forward", dst+`@isolated drop`, "",
		header(1, l.daddr, l.size()), lookup(1, f.isolated()),
		verdict(expr.VerdictDrop))
	add("forward", `iifname . oifname @inside accept`, "",
		iifname(1), oifname(2), lookup(1, f.inside()),
		verdict(expr.VerdictAccept))
	add("forward", `drop`, "", verdict(expr.VerdictDrop))
	return all
}

// Ruleset is the family's table with its sets, chains and rules, empty of
// containers: one transaction, refused with EEXIST when the table is there.
func (f Family) Ruleset() []nl.Request {
	reqs := []nl.Request{f.newTable()}
	for _, s := range f.sets() {
		reqs = append(reqs, s.request())
	}
	for _, c := range f.chains() {
		reqs = append(reqs, c.request(f))
	}
	for _, r := range f.rules() {
		reqs = append(reqs, r.request(f))
	}
	return reqs
}

// publishing tells whether a chain is there for published ports alone.
func publishing(chain string) bool {
	return chain == "publish" || chain == "prerouting" || chain == "output"
}

// Unpublished is Ruleset for a kernel that lacks what publishing a port takes,
// the fib expression or dnat. In this table there is nothing that a port could be
// put into: to try is refused with ENOENT.
func (f Family) Unpublished() []nl.Request {
	if f == Bridge {
		return f.Ruleset()
	}
	reqs := []nl.Request{f.newTable()}
	for _, s := range f.sets() {
		if s.name != f.published().name && s.name != f.publishedAt().name {
			reqs = append(reqs, s.request())
		}
	}
	for _, c := range f.chains() {
		if !publishing(c.name) {
			reqs = append(reqs, c.request(f))
		}
	}
	for _, r := range f.rules() {
		if !publishing(r.chain) {
			reqs = append(reqs, r.request(f))
		}
	}
	return reqs
}

// What follows are the expressions, with the meaning that `nft --debug=netlink`
// prints beside each.

// IPS_SRC_NAT and IPS_DST_NAT in linux/netfilter/nf_conntrack_common.h: the
// source, the destination of this connection was rewritten.
const (
	ipsSrcNAT = 1 << 4
	ipsDstNAT = 1 << 5
)

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
func dnat(f Family, addr, port uint32) expr.Any {
	return &expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(f), RegAddrMin: addr, RegProtoMin: port}
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
	Optional bool         // the ruleset is made without it
	Publish  bool         // only published ports take it (Unpublished)
}

// Features are the parts that the family's table is made of, each with what it
// stands on.
func (f Family) Features() []Feature {
	base := []nl.Request{f.newTable()}
	for _, s := range f.sets() {
		base = append(base, s.request())
	}
	if f == Bridge {
		return []Feature{{Name: "guard", Options: f.option() + " CONFIG_NFT_BRIDGE_META", Requests: f.Ruleset()}}
	}
	all := []Feature{{Name: "nf_tables", Options: "CONFIG_NF_TABLES " + f.option(), Requests: base}}
	nats := slices.Clone(base)
	for _, c := range f.chains() {
		nats = append(nats, c.request(f))
	}
	all = append(all, Feature{Name: "nat", Options: "CONFIG_NFT_NAT CONFIG_NF_NAT CONFIG_NF_CONNTRACK", Requests: nats})
	for _, part := range []struct{ name, options, needs string }{
		{"ct", "CONFIG_NFT_CT", ctOptions},
		{"fib", "CONFIG_NFT_FIB CONFIG_NFT_FIB_" + f.layer().options, f.layer().fibOptions()},
		{"dnat", "CONFIG_NFT_NAT", natOptions},
		{"masquerade", "CONFIG_NFT_MASQ", masqOptions},
	} {
		reqs := slices.Clone(nats)
		for _, r := range f.rules() {
			if r.needs == part.needs {
				reqs = append(reqs, r.request(f))
			}
		}
		publish := part.needs == natOptions || part.needs == f.layer().fibOptions()
		all = append(all, Feature{Name: part.name, Options: part.options, Requests: reqs, Publish: publish})
	}
	return append(all, Feature{Name: "reject", Options: f.layer().cutOptions(), Requests: slices.Concat(nats, f.Optional()), Optional: true})
}
