//go:build linux

package nat

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"container/nl"
)

// A container's addresses, the host's, and a client's.
var (
	inside4, inside6 = netip.MustParseAddr("172.16.0.30"), netip.MustParseAddr("fd00:16::30")
	host4, host6     = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")
	client4, client6 = netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::2")
)

func udpPort(host, port uint16) Port {
	return Port{HostPort: host, Port: port, Proto: unix.IPPROTO_UDP}
}

// --- messages

// What the kernel can tell by itself, deleted and listed. A filter's flags are
// in the host's order, as no other number of ctnetlink is.
func TestSelectionMessages(t *testing.T) {
	const genmsg6 = "\x0a\x00\x00\x00"
	udp53 := // of the CTA_TUPLE_ORIG
		/**/ nest(20, 2) + // CTA_TUPLE_PROTO
			/*  */ nla(5, 1) + "\x11" + pad(3) + // CTA_PROTO_NUM: UDP
			/*  */ nla(6, 3) + "\x00\x35" + pad(2) // CTA_PROTO_DST_PORT: 53

	t.Run("delete", func(t *testing.T) {
		ports := []Port{
			udpPort(53, 5353),
			{HostIP: host4, HostPort: 53, Port: 5353, Proto: unix.IPPROTO_UDP},
			{HostPort: 80, Port: 8000, Proto: unix.IPPROTO_TCP},
		}
		reqs, all := Flows{Addrs: []netip.Addr{inside4}, Ports: ports}.Delete()
		if !all {
			t.Error("not all")
		}
		var want []goldenMessage
		want = append(want,
			goldenMessage{cmd: "conntrack -D -f ipv4 --reply-src 172.16.0.30", typ: 0x102, flags: flagsChange, data: genmsg +
				nest(16, 2) + // CTA_TUPLE_REPLY
				/**/ nest(12, 1) + // CTA_TUPLE_IP
				/*  */ nla(8, 1) + "\xac\x10\x00\x1e" + // CTA_IP_V4_SRC
				nest(12, 25) + // CTA_FILTER
				/**/ nla(8, 2) + host(1)}, // CTA_FILTER_REPLY_FLAGS: CTA_IP_SRC

			goldenMessage{cmd: "conntrack -D -f ipv4 --orig-src 172.16.0.30", typ: 0x102, flags: flagsChange, data: genmsg +
				nest(16, 1) + // CTA_TUPLE_ORIG
				/**/ nest(12, 1) + // CTA_TUPLE_IP
				/*  */ nla(8, 1) + "\xac\x10\x00\x1e" + // CTA_IP_V4_SRC
				nest(12, 25) + // CTA_FILTER
				/**/ nla(8, 1) + host(1)}, // CTA_FILTER_ORIG_FLAGS: CTA_IP_SRC
		)
		for _, family := range []struct{ name, genmsg string }{{"ipv4", genmsg}, {"ipv6", genmsg6}} {
			want = append(want,
				goldenMessage{cmd: "conntrack -D -f " + family.name + " -p udp --orig-port-dst 53", typ: 0x102, flags: flagsChange, data: family.genmsg +
					nest(24, 1) + udp53 + // CTA_TUPLE_ORIG
					nla(8, 3) + be(0) + // CTA_STATUS
					nla(8, 26) + be(0x10) + // CTA_STATUS_MASK: IPS_SRC_NAT
					nest(12, 25) + // CTA_FILTER
					/**/ nla(8, 1) + host(8|32)}, // CTA_FILTER_ORIG_FLAGS: CTA_PROTO_NUM, CTA_PROTO_DST_PORT

				goldenMessage{cmd: "conntrack -D -f " + family.name + " -p udp --orig-port-dst 53 --dst-nat", typ: 0x102, flags: flagsChange, data: family.genmsg +
					nest(24, 1) + udp53 + // CTA_TUPLE_ORIG
					nla(8, 3) + be(0x20) + // CTA_STATUS: IPS_DST_NAT
					nla(8, 26) + be(0x20) + // CTA_STATUS_MASK
					nest(12, 25) + // CTA_FILTER
					/**/ nla(8, 1) + host(8|32)}, // CTA_FILTER_ORIG_FLAGS
			)
		}
		want = append(want,
			goldenMessage{cmd: "conntrack -D -f ipv4 -p udp --orig-dst 10.0.0.1 --orig-port-dst 53", typ: 0x102, flags: flagsChange, data: genmsg +
				nest(36, 1) + // CTA_TUPLE_ORIG
				/**/ nest(12, 1) + // CTA_TUPLE_IP
				/*  */ nla(8, 2) + "\x0a\x00\x00\x01" + // CTA_IP_V4_DST
				udp53 +
				nest(12, 25) + // CTA_FILTER
				/**/ nla(8, 1) + host(2|8|32)}, // CTA_FILTER_ORIG_FLAGS: CTA_IP_DST too
		)
		checkMessages(t, reqs, want)
	})
	t.Run("list", func(t *testing.T) {
		checkMessages(t, []nl.Request{
			selection{}.list(),
			selection{family: unix.NFPROTO_IPV6}.list(),
			selection{family: unix.NFPROTO_IPV6, proto: unix.IPPROTO_UDP, port: 53}.list(),
		}, []goldenMessage{
			{cmd: "conntrack -L", typ: 0x101, flags: flagsDump, data: pad(4)},
			{cmd: "conntrack -L -f ipv6", typ: 0x101, flags: flagsDump, data: genmsg6},
			{cmd: "conntrack -L -f ipv6 -p udp --orig-port-dst 53", typ: 0x101, flags: flagsDump, data: genmsg6 +
				nest(24, 1) + udp53 + // CTA_TUPLE_ORIG
				nest(12, 25) + // CTA_FILTER
				/**/ nla(8, 1) + host(8|32)}, // CTA_FILTER_ORIG_FLAGS
		})
	})
	t.Run("count", goldenMessage{getStats(), "conntrack -C", 0x105, flagsChange, pad(4)}.check)
}

// A flow as the kernel tells of it: of what comes with it, the tuple, the zone
// and the id go back to delete it.

func flowMessage() string {
	return genmsg +
		nest(52, 1) + flowTuple() + // CTA_TUPLE_ORIG
		nest(52, 2) + // CTA_TUPLE_REPLY
		/**/ nest(20, 1) + // CTA_TUPLE_IP
		/*  */ nla(8, 1) + "\xac\x10\x00\x1e" + // CTA_IP_V4_SRC
		/*  */ nla(8, 2) + "\x0a\x00\x00\x02" + // CTA_IP_V4_DST
		/**/ nest(28, 2) + // CTA_TUPLE_PROTO
		/*  */ nla(5, 1) + "\x11" + pad(3) + // CTA_PROTO_NUM: UDP
		/*  */ nla(6, 2) + "\x14\xe9" + pad(2) + // CTA_PROTO_SRC_PORT: 5353
		/*  */ nla(6, 3) + "\x03\xe8" + pad(2) + // CTA_PROTO_DST_PORT: 1000
		nla(8, 3) + be(0x1a8) + // CTA_STATUS: confirmed, translated at its destination
		nla(8, 7) + be(30) + // CTA_TIMEOUT
		nla(6, 18) + "\x00\x07" + pad(2) + // CTA_ZONE
		nla(8, 12) + "\x12\x34\x56\x78" // CTA_ID
}

func flowTuple() string {
	return nest(20, 1) + // CTA_TUPLE_IP
		/**/ nla(8, 1) + "\x0a\x00\x00\x02" + // CTA_IP_V4_SRC
		/**/ nla(8, 2) + "\x0a\x00\x00\x01" + // CTA_IP_V4_DST
		nest(28, 2) + // CTA_TUPLE_PROTO
		/**/ nla(5, 1) + "\x11" + pad(3) + // CTA_PROTO_NUM: UDP
		/**/ nla(6, 2) + "\x03\xe8" + pad(2) + // CTA_PROTO_SRC_PORT: 1000
		/**/ nla(6, 3) + "\x00\x35" + pad(2) // CTA_PROTO_DST_PORT: 53
}

func TestFlowMessages(t *testing.T) {
	f, err := parseFlow([]byte(flowMessage()))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := f.String(), "udp 10.0.0.2:1000 10.0.0.1:53, answered by 172.16.0.30 to 10.0.0.2, zone 7"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if f.passesBy() {
		t.Error("it is translated at its destination alone")
	}
	goldenMessage{f.delete(),
		"conntrack -D -f ipv4 -p udp --orig-src 10.0.0.2 --orig-dst 10.0.0.1 --orig-port-src 1000 --orig-port-dst 53 --zone 7",
		0x102, flagsChange, genmsg +
			nest(52, 1) + flowTuple() + // CTA_TUPLE_ORIG
			nla(6, 18) + "\x00\x07" + pad(2) + // CTA_ZONE
			nla(8, 12) + "\x12\x34\x56\x78"}.check(t) // CTA_ID
}

// String is for tests: how a flow was begun, and who answers it to whom.
func (f flow) String() string {
	o := f.orig
	s := fmt.Sprintf("%s %s %s", protoName(o.proto), netip.AddrPortFrom(o.src, o.srcPort), netip.AddrPortFrom(o.dst, o.dstPort))
	s += fmt.Sprintf(", answered by %s to %s", f.reply.src, f.reply.dst)
	if f.zone != nil {
		s += fmt.Sprintf(", zone %d", binary.BigEndian.Uint16(f.zone))
	}
	return s
}

// A message to delete without anything to compare would delete everything, and
// one that compares an IPv6 address everything but that. No port or address
// leads to one.
func TestNoFlushMessage(t *testing.T) {
	mapped := netip.MustParseAddr("::ffff:172.16.0.30")
	addrs := []netip.Addr{inside4, inside6, mapped}
	var ports []Port
	for _, hostIP := range []netip.Addr{{}, netip.IPv4Unspecified(), netip.IPv6Unspecified(), host4, host6, mapped} {
		for _, proto := range []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_SCTP} {
			ports = append(ports, Port{HostIP: hostIP, HostPort: 53, Port: 53, Proto: proto})
		}
	}
	check := func(addrs []netip.Addr, ports []Port) {
		for _, proto := range []uint8{0, unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
			reqs, _ := Flows{Addrs: addrs, Ports: ports, Proto: proto}.Delete()
			for _, r := range reqs {
				ad, err := decoder(r.Data[4:])
				if err != nil {
					t.Fatal(err)
				}
				var tuple, filter []byte
				for ad.Next() {
					switch ad.Type() {
					case ctaTupleOrig, ctaTupleReply:
						tuple = ad.Bytes()
					case ctaFilter:
						filter = ad.Bytes()
					}
				}
				if len(filter) != 8 || len(tuple) == 0 || binary.NativeEndian.Uint32(filter[4:]) == 0 {
					t.Errorf("%v, %v: %s compares nothing", addrs, ports, r.What)
					continue
				}
				if r.Data[0] == unix.NFPROTO_IPV6 && binary.NativeEndian.Uint32(filter[4:])&3 != 0 {
					t.Errorf("%v, %v: %s compares an IPv6 address", addrs, ports, r.What)
				}
			}
		}
	}
	check(nil, nil)
	check(addrs, ports)
	for _, a := range addrs {
		check([]netip.Addr{a}, nil)
		for _, p := range ports {
			check([]netip.Addr{a}, []Port{p})
		}
	}
	for _, p := range ports {
		check(nil, []Port{p})
	}
}

func TestSelections(t *testing.T) {
	const v4, v6 = unix.NFPROTO_IPV4, unix.NFPROTO_IPV6
	many := make([]Port, 1000)
	for i := range many {
		many[i] = udpPort(uint16(1000+i), 1)
	}
	for name, tt := range map[string]struct {
		addrs        []netip.Addr
		ports        []Port
		exact, vague int
	}{
		"nothing":                  {nil, nil, 0, 0},
		"no address":               {[]netip.Addr{{}}, nil, 0, 0},
		"IPv4":                     {[]netip.Addr{inside4}, nil, 2, 0},
		"IPv6":                     {[]netip.Addr{inside6}, nil, 0, 1},
		"both":                     {[]netip.Addr{inside4, inside6}, nil, 2, 1},
		"a TCP port":               {nil, []Port{{HostPort: 53, Proto: unix.IPPROTO_TCP}}, 0, 0},
		"a port":                   {nil, []Port{udpPort(53, 53)}, 4, 0},
		"a port, IPv4":             {nil, []Port{{HostIP: netip.IPv4Unspecified(), HostPort: 53, Proto: unix.IPPROTO_UDP}}, 2, 0},
		"a port, IPv6":             {nil, []Port{{HostIP: netip.IPv6Unspecified(), HostPort: 53, Proto: unix.IPPROTO_UDP}}, 2, 0},
		"a port of an address":     {nil, []Port{{HostIP: host6, HostPort: 53, Proto: unix.IPPROTO_UDP}}, 0, 1},
		"two ports of an address":  {nil, []Port{{HostIP: host6, HostPort: 53, Proto: unix.IPPROTO_UDP}, {HostIP: host6, HostPort: 54, Proto: unix.IPPROTO_UDP}}, 0, 1},
		"a port, and all of IPv6":  {[]netip.Addr{inside6}, []Port{udpPort(53, 53)}, 2, 1},
		"many ports":               {nil, many, 0, 2},
		"many ports and addresses": {[]netip.Addr{inside4, inside6}, many, 2, 2},
	} {
		exact, vague := Flows{Addrs: tt.addrs, Ports: tt.ports}.wanted().selections()
		if len(exact) != tt.exact || len(vague) != tt.vague {
			t.Errorf("%s: got %+v and %+v, want %d and %d", name, exact, vague, tt.exact, tt.vague)
		}
		for _, s := range append(exact, vague...) {
			if s.family != v4 && s.family != v6 {
				t.Errorf("%s: %+v is of no family", name, s)
			}
		}
	}
}

// --- parsing

func FuzzParseFlow(f *testing.F) {
	whole := []byte(flowMessage())
	f.Add(whole)
	for n := range whole {
		f.Add(whole[:n]) // cut off, aligned or not
	}
	// A length that lies, and an attribute that is another, at each place.
	for at := 0; at+4 <= len(whole); at += 2 {
		for _, lie := range []uint16{0, 1, 3, 5, 0x8002, 0xffff} {
			b := slices.Clone(whole)
			binary.NativeEndian.PutUint16(b[at:], lie)
			f.Add(b)
		}
	}
	f.Add(slices.Concat(whole, []byte(nest(4, ctaTupleOrig)), []byte(nest(4, ctaTupleReply)))) // both ways again, and empty
	want := Flows{Addrs: []netip.Addr{inside4, inside6}, Ports: []Port{udpPort(53, 53)}}.wanted()
	f.Fuzz(func(t *testing.T, data []byte) {
		flow, err := parseFlow(data)
		if err != nil {
			return
		}
		is4 := flow.family == unix.NFPROTO_IPV4
		for _, a := range []netip.Addr{flow.orig.src, flow.orig.dst, flow.reply.src, flow.reply.dst} {
			if !a.IsValid() || a.Is4() != is4 {
				t.Errorf("the address %s in a flow of family %d", a, flow.family)
			}
		}
		want.match(flow)
		r := flow.delete()
		// What is deleted is what was given, and nothing is made up.
		if len(flow.tuple) == 0 || len(r.Data) > len(data)+8 {
			t.Errorf("%d bytes to delete a flow out of %d", len(r.Data), len(data))
		}
	})
}

func TestParseFlowErrors(t *testing.T) {
	whole := flowMessage()
	for name, data := range map[string]string{
		"no message":       "",
		"half a head":      "\x02\x00",
		"nothing":          genmsg,
		"another family":   "\x0a" + whole[1:],
		"no family at all": "\x00" + whole[1:],
		"one way only":     whole[:4+52],
		"cut off":          whole[:len(whole)-1],
		"no addresses":     genmsg + nest(8, 1) + nest(4, 1) + nest(8, 2) + nest(4, 1),
	} {
		if f, err := parseFlow([]byte(data)); err == nil {
			t.Errorf("%s: got %v and no error", name, f)
		}
	}
}

func TestMatch(t *testing.T) {
	of := func(proto uint8, src, dst, answers, to netip.Addr, port uint16) flow {
		return flow{orig: tuple{src: src, dst: dst, proto: proto, dstPort: port}, reply: tuple{src: answers, dst: to, proto: proto}}
	}
	status := func(f flow, s uint32) flow { f.status = s; return f }
	const udp, tcp = unix.IPPROTO_UDP, unix.IPPROTO_TCP
	other4 := netip.MustParseAddr("10.0.0.9")
	at := func(hostIP netip.Addr) Port { return Port{HostIP: hostIP, HostPort: 53, Proto: udp} }
	for name, tt := range map[string]struct {
		addrs []netip.Addr
		ports []Port
		flow  flow
		want  bool
	}{
		"answered by it":       {[]netip.Addr{inside4}, nil, of(tcp, client4, host4, inside4, client4, 80), true},
		"spoken to directly":   {[]netip.Addr{inside6}, nil, of(unix.IPPROTO_ICMPV6, client6, inside6, inside6, client6, 0), true},
		"begun by it":          {[]netip.Addr{inside4}, nil, of(tcp, inside4, client4, client4, host4, 80), true},
		"an address in IPv6":   {[]netip.Addr{netip.MustParseAddr("::ffff:172.16.0.30")}, nil, of(tcp, client4, host4, inside4, client4, 80), true},
		"of another":           {[]netip.Addr{inside4}, nil, of(tcp, client4, host4, other4, client4, 80), false},
		"was to be its":        {[]netip.Addr{inside4}, nil, of(tcp, client4, inside4, other4, client4, 80), false}, // led away from it
		"the port":             {nil, []Port{at(netip.Addr{})}, of(udp, client4, host4, host4, client4, 53), true},
		"another port":         {nil, []Port{at(netip.Addr{})}, of(udp, client4, host4, host4, client4, 54), false},
		"the port of TCP":      {nil, []Port{at(netip.Addr{})}, of(tcp, client4, host4, host4, client4, 53), false},
		"a TCP port":           {nil, []Port{{HostPort: 53, Proto: tcp}}, of(udp, client4, host4, host4, client4, 53), false},
		"IPv4 of IPv4":         {nil, []Port{at(netip.IPv4Unspecified())}, of(udp, client4, host4, host4, client4, 53), true},
		"IPv6 of IPv4":         {nil, []Port{at(netip.IPv4Unspecified())}, of(udp, client6, host6, host6, client6, 53), false},
		"IPv6 of IPv6":         {nil, []Port{at(netip.IPv6Unspecified())}, of(udp, client6, host6, host6, client6, 53), true},
		"IPv4 of IPv6":         {nil, []Port{at(netip.IPv6Unspecified())}, of(udp, client4, host4, host4, client4, 53), false},
		"the address":          {nil, []Port{at(host6)}, of(udp, client6, host6, host6, client6, 53), true},
		"another address":      {nil, []Port{at(host4)}, of(udp, client4, other4, other4, client4, 53), false},
		"masqueraded":          {nil, []Port{at(netip.Addr{})}, status(of(udp, other4, client4, client4, host4, 53), srcTranslated), false},
		"both ends translated": {nil, []Port{at(netip.Addr{})}, status(of(udp, other4, host4, inside4, host4, 53), srcTranslated|dstTranslated), true},
	} {
		if got := (Flows{Addrs: tt.addrs, Ports: tt.ports}).wanted().match(tt.flow); got != tt.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

// --- the kernel

const (
	tcp  = unix.IPPROTO_TCP
	udp  = unix.IPPROTO_UDP
	sctp = unix.IPPROTO_SCTP
)

// toCut are flows that must go, and toStay flows that must not, when what is
// cut is inside4 and inside6, and port 53 of UDP.
var (
	someone4, someone6   = netip.MustParseAddr("172.16.0.31"), netip.MustParseAddr("fd00:16::31")
	internet4, internet6 = netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("2001:db8::9")

	toCut = []begun{
		// Led to the container by a published port; the last two come back as
		// the bridge.
		{proto: tcp, src: client4, srcPort: 1, dst: host4, dstPort: 80, ledTo: inside4},
		{proto: tcp, src: client6, srcPort: 1, dst: host6, dstPort: 80, ledTo: inside6},
		{proto: udp, src: client4, srcPort: 2, dst: host4, dstPort: 90, ledTo: inside4},
		{proto: udp, src: client6, srcPort: 2, dst: host6, dstPort: 90, ledTo: inside6},
		{proto: sctp, src: client4, srcPort: 3, dst: host4, dstPort: 80, ledTo: inside4},
		{proto: tcp, src: someone4, srcPort: 4, dst: host4, dstPort: 80, ledTo: inside4, cover: host4},
		{proto: tcp, src: someone6, srcPort: 4, dst: host6, dstPort: 80, ledTo: inside6, cover: host6},
		// Spoken to directly.
		{proto: tcp, src: someone4, srcPort: 5, dst: inside4, dstPort: 8000},
		{proto: udp, src: someone6, srcPort: 5, dst: inside6, dstPort: 8000},
		{proto: unix.IPPROTO_ICMP, src: someone4, dst: inside4},
		{proto: unix.IPPROTO_ICMPV6, src: someone6, dst: inside6},
		{proto: unix.IPPROTO_ESP, src: someone4, dst: inside4},
		// Begun by it.
		{proto: udp, src: inside4, srcPort: 6, dst: internet4, dstPort: 123, cover: host4},
		{proto: tcp, src: inside6, srcPort: 6, dst: internet6, dstPort: 443, cover: host6},
		// To the port, wherever it leads: to the host, to another container,
		// to one of another's making, which comes back as the bridge.
		{proto: udp, src: client4, srcPort: 7, dst: host4, dstPort: 53},
		{proto: udp, src: client6, srcPort: 7, dst: host6, dstPort: 53},
		{proto: udp, src: client4, srcPort: 8, dst: host4, dstPort: 53, ledTo: someone4},
		{proto: udp, src: client6, srcPort: 8, dst: host6, dstPort: 53, ledTo: someone6},
		{proto: udp, src: someone4, srcPort: 9, dst: host4, dstPort: 53, ledTo: netip.MustParseAddr("172.16.0.32"), cover: host4},
		{proto: udp, src: someone6, srcPort: 9, dst: host6, dstPort: 53, ledTo: netip.MustParseAddr("fd00:16::32"), cover: host6},
		{proto: udp, src: client4, srcPort: 10, dst: host4, dstPort: 53, zone: 7},
		{proto: tcp, src: client6, srcPort: 10, dst: host6, dstPort: 80, ledTo: inside6, zone: 7},
	}
	toStay = []begun{
		// TCP to the port, and other ports.
		{proto: tcp, src: client4, srcPort: 7, dst: host4, dstPort: 53},
		{proto: tcp, src: client6, srcPort: 7, dst: host6, dstPort: 53},
		{proto: sctp, src: client4, srcPort: 7, dst: host4, dstPort: 53},
		{proto: tcp, src: client4, srcPort: 8, dst: host4, dstPort: 53, ledTo: someone4},
		{proto: udp, src: client4, srcPort: 7, dst: host4, dstPort: 54},
		{proto: udp, src: client6, srcPort: 7, dst: host6, dstPort: 54},
		{proto: udp, src: client4, srcPort: 53, dst: host4, dstPort: 1053}, // from the port
		// Other addresses.
		{proto: tcp, src: client4, srcPort: 1, dst: host4, dstPort: 81, ledTo: someone4},
		{proto: tcp, src: client6, srcPort: 1, dst: host6, dstPort: 81, ledTo: someone6},
		{proto: unix.IPPROTO_ICMP, src: client4, dst: someone4},
		{proto: unix.IPPROTO_ICMPV6, src: client6, dst: someone6},
	}
	// What leaves by masquerading to that port outside.
	passing = []begun{
		{proto: udp, src: someone4, srcPort: 11, dst: internet4, dstPort: 53, cover: host4},
		{proto: udp, src: someone6, srcPort: 11, dst: internet6, dstPort: 53, cover: host6},
	}
	cutAddrs = []netip.Addr{inside4, inside6}
	cutPorts = []Port{udpPort(53, 5353), {HostPort: 54, Port: 53, Proto: tcp}}
	cutting  = Flows{Addrs: cutAddrs, Ports: cutPorts}
)
