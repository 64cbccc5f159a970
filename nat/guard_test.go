//go:build linux

package nat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"container/nl"
)

// Frames through the guard: each is put on a wire by hand, and its fate seen
// at the end of another.
//
//	a  b  e   i  j       c  d
//	│  │  │   │  │       │  │
//	pa pb pe  pi pj      pc pd
//	guarded   guarded,   not ours
//	          isolated
//	└──┴──┴───┴──┴──br0──┴──┴─
//
// All of it is in one network namespace, where no end has an address or IPv6,
// so that nothing is said but by the test.

// ends are the wires' ends that are not the bridge's, each the name's letter in
// its addresses.
const (
	guardedEnds  = "abe"
	isolatedEnds = "ij"
	otherEnds    = "cd"
)

func macOf(end byte) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, end} }

func ip4Of(end byte) netip.Addr { return netip.AddrFrom4([4]byte{172, 16, 0, end}) }

func ip6Of(end byte) netip.Addr { return netip.AddrFrom16([16]byte{0: 0xfd, 3: 0x16, 15: end}) }

func linkLocalOf(end byte) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 11: 0xff, 12: 0xfe, 15: end})
}

// eth is a frame.
func eth(to, from net.HardwareAddr, typ uint16, payload ...[]byte) []byte {
	return slices.Concat(to, from, binary.BigEndian.AppendUint16(nil, typ), slices.Concat(payload...))
}

// tag is a VLAN tag, and what stands behind it.
func tag(inner uint16) []byte { return []byte{0, 5, byte(inner >> 8), byte(inner)} }

// arp is an ARP packet: a request is 1, a reply 2.
func arp(op byte, mac net.HardwareAddr, ip netip.Addr, about netip.Addr) []byte {
	return slices.Concat([]byte{0, 1, 8, 0, 6, 4, 0, op}, mac, ip.AsSlice(), make([]byte, 6), about.AsSlice())
}

// ip4 is the head of a UDP datagram of IPv4 to port 53, whose data are the 8
// bytes that send adds.
func ip4(from, to netip.Addr) []byte {
	head := []byte{0: 0x45, 3: 36, 8: 64, 9: unix.IPPROTO_UDP, 19: 0}
	copy(head[12:], from.AsSlice())
	copy(head[16:], to.AsSlice())
	sum := uint32(0)
	for i := 0; i < len(head); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(head[i:]))
	}
	binary.BigEndian.PutUint16(head[10:], ^uint16(sum+sum>>16))
	return append(head, udpHead...)
}

// udpHead is the head of such a datagram, without a checksum.
var udpHead = []byte{0, 9, 0, 53, 0, 16, 0, 0}

// ip6 is an IPv6 packet.
func ip6(from, to netip.Addr, next byte, payload ...[]byte) []byte {
	data := slices.Concat(payload...)
	head := []byte{0: 0x60, 5: byte(len(data)), 6: next, 7: 255}
	if next == unix.IPPROTO_UDP {
		head[5] += 8 // which send adds
	}
	return slices.Concat(head, from.AsSlice(), to.AsSlice(), data)
}

func udp6(from, to netip.Addr) []byte {
	return ip6(from, to, unix.IPPROTO_UDP, udpHead)
}

// icmp6 is an ICMPv6 message: what stands behind its first 8 bytes.
func icmp6(typ byte, body ...[]byte) []byte {
	return append([]byte{0: typ, 7: 0}, slices.Concat(body...)...)
}

// A guardCase is a frame, its fate, and the rule that it hangs on: without that
// rule it meets with the other.
type guardCase struct {
	name     string
	from, to string
	frame    []byte
	passes   bool
	rule     string
}

func guardCases() []guardCase {
	const (
		notOurs   = `iif != @ports accept`
		owned     = `arp saddr ip @owned iif != @ports drop`
		owned6    = `icmpv6 type nd-neighbor-advert @nh,384,128 @owned6 iif != @ports drop`
		mac       = `iif . ether saddr != @macs drop`
		tagged    = `ether type 8021q drop`
		tagged2   = `ether type 8021ad drop`
		arps      = `iif . arp saddr ether @macs iif . arp saddr ip @addresses accept`
		ipv4      = `iif . ether saddr . ether type . ip saddr @sources accept`
		router    = `icmpv6 type nd-router-advert drop`
		redirects = `icmpv6 type nd-redirect drop`
		covered   = `ip6 nexthdr != ipv6-icmp icmpv6 type nd-neighbor-advert drop`
		target    = `icmpv6 type nd-neighbor-advert iif . @nh,384,128 != @targets drop`
		listener  = `ip6 saddr :: icmpv6 type mld2-listener-report accept`
		ipv6      = `iif . ip6 saddr @addresses6 accept`
		rest      = `drop`
		isolated  = `meta pkttype != host iif @isolated oif @ports drop`
		toOne     = `meta pkttype != host iif @ports oif @isolated drop`
		asked     = `arp operation request iif @ports oif @ports iif . arp daddr ip != @addresses oif . arp daddr ip != @addresses drop`
		hostAsks  = `arp operation request oif @ports arp saddr ip @gateways arp daddr ip != @gateways oif . arp daddr ip != @addresses drop`
		both      = "" // either of two would do, or none is needed
	)
	const (
		pass, drop = true, false
		solicit    = 135
		ipType     = 0x0800
		arpType    = 0x0806
		ip6Type    = 0x86dd
	)
	all6, router6 := netip.MustParseAddr("ff02::1"), netip.MustParseAddr("ff02::16")
	none4, none6 := netip.IPv4Unspecified(), netip.IPv6Unspecified()
	a, b := macOf('a'), macOf('b')
	everyone := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	everyone6 := net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}
	lldp := net.HardwareAddr{1, 0x80, 0xc2, 0, 0, 0x0e}
	a4, b4, a6, b6, aLocal := ip4Of('a'), ip4Of('b'), ip6Of('a'), ip6Of('b'), linkLocalOf('a')
	foreign4, foreign6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")

	v4 := func(from, to netip.Addr) []byte { return eth(b, a, ipType, ip4(from, to)) }
	v6 := func(from, to netip.Addr) []byte { return eth(b, a, ip6Type, udp6(from, to)) }
	nd := func(from netip.Addr, message []byte) []byte {
		return eth(everyone6, a, ip6Type, ip6(from, all6, unix.IPPROTO_ICMPV6, message))
	}
	// With the option that says who listens: next header ICMPv6, 8 bytes.
	alert := []byte{unix.IPPROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0}
	report := func(from netip.Addr) []byte {
		return eth(everyone6, a, ip6Type, ip6(from, router6, 0, alert, icmp6(listenerReport)))
	}
	// A header of 24 bytes that has an address in it, padding, where without it
	// the target would stand.
	cover := func(address netip.Addr) []byte {
		return slices.Concat([]byte{unix.IPPROTO_ICMPV6, 2, 1, 20, 0, 0, 0, 0}, address.AsSlice())
	}

	cases := []guardCase{
		{"ARP request", "a", "b", eth(everyone, a, arpType, arp(1, a, a4, b4)), pass, arps},
		{"ARP reply", "a", "b", eth(b, a, arpType, arp(2, a, a4, b4)), pass, arps},
		{"ARP request about itself", "a", "b", eth(everyone, a, arpType, arp(1, a, a4, a4)), pass, arps},
		{"ARP request about a third", "a", "b", eth(everyone, a, arpType, arp(1, a, a4, ip4Of('e'))), drop, asked},
		{"ARP request about nobody", "a", "b", eth(everyone, a, arpType, arp(1, a, a4, foreign4)), drop, asked},
		{"ARP request about the host", "a", "b", eth(everyone, a, arpType, arp(1, a, a4, ip4Of('h'))), drop, asked},
		{"ARP request about the host, to it", "a", "br0", eth(everyone, a, arpType, arp(1, a, a4, ip4Of('h'))), pass, arps},
		{"ARP request about a third, to a port that isn't ours", "a", "c", eth(everyone, a, arpType, arp(1, a, a4, b4)), pass, arps},
		{"ARP reply about a third", "a", "b", eth(b, a, arpType, arp(2, a, a4, ip4Of('e'))), pass, arps},
		{"IPv4", "a", "b", v4(a4, b4), pass, ipv4},
		{"IPv4 broadcast", "a", "b", eth(everyone, a, ipType, ip4(a4, netip.MustParseAddr("172.16.0.255"))), pass, ipv4},
		{"IPv6", "a", "b", v6(a6, b6), pass, ipv6},
		{"link-local IPv6", "a", "b", v6(aLocal, linkLocalOf('b')), pass, ipv6},
		{"neighbour solicitation", "a", "b", nd(a6, icmp6(solicit, b6.AsSlice())), pass, ipv6},
		{"neighbour advertisement", "a", "b", nd(a6, icmp6(neighbourAdvert, a6.AsSlice())), pass, ipv6},
		{"link-local neighbour advertisement", "a", "b", nd(aLocal, icmp6(neighbourAdvert, aLocal.AsSlice())), pass, ipv6},
		{"listener report without an address", "a", "b", report(none6), pass, listener},
		{"listener report", "a", "b", report(aLocal), pass, ipv6},

		{"IPv4 with another MAC", "a", "b", eth(b, macOf('x'), ipType, ip4(a4, b4)), drop, both},
		{"IPv4 with a neighbour's MAC", "a", "b", eth(b, macOf('e'), ipType, ip4(a4, b4)), drop, both},
		{"IPv6 with another MAC", "a", "b", eth(b, macOf('x'), ip6Type, udp6(a6, b6)), drop, mac},
		{"ARP with another MAC on the frame", "a", "b", eth(everyone, macOf('x'), arpType, arp(1, a, a4, b4)), drop, mac},

		{"ARP with another MAC", "a", "b", eth(everyone, a, arpType, arp(2, macOf('x'), a4, b4)), drop, rest},
		{"ARP with a neighbour's MAC", "a", "b", eth(everyone, a, arpType, arp(2, macOf('e'), a4, b4)), drop, rest},
		{"ARP with another address", "a", "b", eth(everyone, a, arpType, arp(2, a, foreign4, b4)), drop, rest},
		{"ARP with a neighbour's address", "a", "b", eth(everyone, a, arpType, arp(2, a, ip4Of('e'), b4)), drop, rest},
		{"ARP without an address", "a", "b", eth(everyone, a, arpType, arp(1, a, none4, a4)), drop, rest},

		{"IPv4 from another address", "a", "b", v4(foreign4, b4), drop, rest},
		{"IPv4 from a neighbour's address", "a", "b", v4(ip4Of('e'), b4), drop, rest},
		{"IPv4 from no address", "a", "b", v4(none4, b4), drop, rest},

		{"IPv6 from another address", "a", "b", v6(foreign6, b6), drop, rest},
		{"IPv6 from a neighbour's address", "a", "b", v6(ip6Of('e'), b6), drop, rest},
		{"IPv6 from a neighbour's link-local address", "a", "b", v6(linkLocalOf('e'), b6), drop, rest},
		{"IPv6 from no address", "a", "b", v6(none6, b6), drop, rest},
		{"solicitation without an address", "a", "b", nd(none6, icmp6(solicit, a6.AsSlice())), drop, rest},
		{"listener report from another address", "a", "b", report(foreign6), drop, rest},

		{"advertisement of a neighbour's address", "a", "b", nd(a6, icmp6(neighbourAdvert, ip6Of('e').AsSlice())), drop, target},
		{"advertisement of the gateway's address", "a", "b", nd(aLocal, icmp6(neighbourAdvert, foreign6.AsSlice())), drop, target},
		{"covered advertisement", "a", "b", eth(everyone6, a, ip6Type, ip6(a6, all6, unix.IPPROTO_DSTOPTS,
			cover(a6), icmp6(neighbourAdvert, ip6Of('e').AsSlice()))), drop, covered},
		{"router advertisement", "a", "b", nd(aLocal, icmp6(routerAdvert, make([]byte, 8))), drop, router},
		{"covered router advertisement", "a", "b", eth(everyone6, a, ip6Type, ip6(aLocal, all6, unix.IPPROTO_DSTOPTS,
			cover(a6), icmp6(routerAdvert, make([]byte, 8)))), drop, router},
		{"redirect", "a", "b", nd(aLocal, icmp6(redirect, b6.AsSlice(), foreign6.AsSlice())), drop, redirects},

		{"IPv4 to LLDP's address", "a", "b", eth(lldp, a, ipType, ip4(a4, b4)), pass, ipv4},
		{"IPv4 from another address to LLDP's", "a", "b", eth(lldp, a, ipType, ip4(foreign4, b4)), drop, rest},
		{"router advertisement to LLDP's address", "a", "b", eth(lldp, a, ip6Type,
			ip6(aLocal, all6, unix.IPPROTO_ICMPV6, icmp6(routerAdvert, make([]byte, 8)))), drop, router},

		{"unknown type", "a", "b", eth(b, a, 0x88b5, []byte("what?")), drop, rest},
		{"PPPoE discovery", "a", "b", eth(everyone, a, unix.ETH_P_PPP_DISC, make([]byte, 20)), drop, rest},
		{"802.2 LLC", "a", "b", eth(everyone, a, 30, []byte{0x42, 0x42, 3}, make([]byte, 27)), drop, rest},
		{"tagged IPv4", "a", "b", eth(b, a, unix.ETH_P_8021Q, tag(ipType), ip4(a4, b4)), drop, both},
		{"tagged IPv6", "a", "b", eth(b, a, unix.ETH_P_8021Q, tag(ip6Type), udp6(a6, b6)), drop, tagged},
		{"IPv4 with a service tag", "a", "b", eth(b, a, unix.ETH_P_8021AD, tag(ipType), ip4(a4, b4)), drop, both},
		{"IPv6 with a service tag", "a", "b", eth(b, a, unix.ETH_P_8021AD, tag(ip6Type), udp6(a6, b6)), drop, tagged2},
	}

	// One that is not ours may say all of that, but not where a container's
	// address is.
	claims := map[string]string{
		"ARP request":                            owned,
		"ARP request about itself":               owned,
		"ARP request about a third":              owned,
		"ARP request about nobody":               owned,
		"ARP request about the host":             owned,
		"ARP reply about a third":                owned,
		"ARP reply":                              owned,
		"ARP with another MAC on the frame":      owned,
		"ARP with another MAC":                   owned,
		"ARP with a neighbour's MAC":             owned,
		"ARP with a neighbour's address":         owned,
		"neighbour advertisement":                owned6,
		"advertisement of a neighbour's address": owned6,
		"covered advertisement":                  both, // by what covers it, too
	}
	for _, c := range cases {
		if c.to != "b" {
			continue
		}
		foreign := guardCase{c.name + " from a port that isn't ours", "c", "b", c.frame, pass, notOurs}
		if rule, ok := claims[c.name]; ok {
			foreign.passes, foreign.rule = drop, rule
			delete(claims, c.name)
		}
		cases = append(cases, foreign)
	}
	for name := range claims {
		panic("no frame is called " + name)
	}
	cases = append(cases, guardCase{
		"covered advertisement of a container's address from a port that isn't ours", "c", "b",
		eth(everyone6, a, ip6Type, ip6(a6, all6, unix.IPPROTO_DSTOPTS,
			cover(foreign6), icmp6(neighbourAdvert, ip6Of('e').AsSlice()))), drop, covered,
	})

	// The host's own questions, and what it tells of itself.
	h, h4, second4 := macOf('h'), ip4Of('h'), netip.MustParseAddr("172.16.1.1")
	for _, c := range []guardCase{
		{"about it", "br0", "b", arp(1, h, h4, b4), pass, both},
		{"about another", "br0", "b", arp(1, h, h4, a4), drop, hostAsks},
		{"about nobody", "br0", "b", arp(1, h, h4, foreign4), drop, hostAsks},
		{"about another, to a port that isn't ours", "br0", "c", arp(1, h, h4, a4), pass, both},
		{"about itself", "br0", "b", arp(1, h, h4, h4), pass, both},
		{"about a further address of its own", "br0", "b", arp(1, h, second4, second4), pass, both},
	} {
		c.name, c.frame = "the host's ARP request "+c.name, eth(everyone, h, arpType, c.frame)
		cases = append(cases, c)
	}
	cases = append(cases, guardCase{"the host's ARP reply", "br0", "b", eth(b, h, arpType, arp(2, h, h4, a4)), pass, both})

	// What passes between any two passes from and to isolated ones only where
	// the other is not ours.
	type words struct {
		name string
		rule string // that lets it in at a guarded port
		make func(from, to byte) []byte
	}
	for _, w := range []words{
		{"IPv4", ipv4, func(from, to byte) []byte {
			return eth(macOf(to), macOf(from), ipType, ip4(ip4Of(from), ip4Of(to)))
		}},
		{"IPv6", ipv6, func(from, to byte) []byte {
			return eth(macOf(to), macOf(from), ip6Type, udp6(ip6Of(from), ip6Of(to)))
		}},
		{"ARP request", arps, func(from, to byte) []byte {
			return eth(everyone, macOf(from), arpType, arp(1, macOf(from), ip4Of(from), ip4Of(to)))
		}},
		{"neighbour solicitation", ipv6, func(from, to byte) []byte {
			return eth(everyone6, macOf(from), ip6Type, ip6(ip6Of(from), all6, unix.IPPROTO_ICMPV6, icmp6(solicit, ip6Of(to).AsSlice())))
		}},
	} {
		for _, way := range []struct {
			from, to string
			passes   bool
			rule     string
		}{
			{"i", "b", drop, isolated},
			{"b", "i", drop, toOne},
			{"i", "j", drop, both},
			{"i", "c", pass, w.rule},
			{"c", "i", pass, notOurs},
			{"a", "b", pass, w.rule},
		} {
			cases = append(cases, guardCase{
				w.name + " from " + way.from + " to " + way.to, way.from, way.to, w.make(way.from[0], way.to[0]), way.passes, way.rule,
			})
		}
		cases = append(cases, guardCase{w.name + " from i to the host", "i", "br0", w.make('i', 'h'), pass, w.rule})
	}
	return cases
}

// Each frame has its fate, and it hangs on the one rule that is named beside
// it: with any other rule left out nothing changes for it. So all the rules are
// needed, and each does what it is there for.
func TestGuard(t *testing.T) {
	w := newWires(t)
	cases := guardCases()
	all := guardRules()
	for _, c := range cases {
		if c.rule != "" && !slices.ContainsFunc(all, func(r rule) bool { return r.text == c.rule }) {
			t.Errorf("%s: there is no rule %s", c.name, c.rule)
		}
	}
	w.guard(t, all)
	for _, c := range cases {
		if got := w.passes(t, c.from, c.to, c.frame, "d"); got != c.passes {
			t.Errorf("%s: passes: got %v, want %v", c.name, got, c.passes)
		}
	}
	for i, r := range all {
		commit(t, []nl.Request{Bridge.DeleteTable()})
		w.guard(t, slices.Delete(slices.Clone(all), i, i+1))
		last := "d"
		if r.text == `iif != @ports accept` {
			last = "e" // now no port passes that isn't ours
		}
		hangs := 0
		for _, c := range cases {
			if last == "e" && strings.Contains(isolatedEnds, c.to) {
				continue // where it could not be waited for
			}
			want := c.passes != (c.rule == r.text)
			if got := w.passes(t, c.from, c.to, c.frame, last); got != want {
				t.Errorf("without the rule %s: %s: passes: got %v, want %v", r.text, c.name, got, want)
			}
			if c.rule == r.text {
				hangs++
			}
		}
		if hangs == 0 {
			t.Errorf("no frame's fate hangs on the rule %s", r.text)
		}
	}
}

// wires are the ends that a test speaks at, and listens.
type wires struct {
	sockets map[string]int
	index   map[string]uint32 // of the ports on the bridge
	sent    uint64
}

func newWires(t *testing.T) *wires {
	netns(t)
	// Frames that one CPU has in hand keep their order.
	var cpus unix.CPUSet
	if err := unix.SchedGetaffinity(0, &cpus); err != nil {
		t.Fatal(err)
	}
	cpu := 0
	for !cpus.IsSet(cpu) {
		cpu++
	}
	cpus.Zero()
	cpus.Set(cpu)
	if err := unix.SchedSetaffinity(0, &cpus); err != nil { // of this thread alone
		t.Fatal(err)
	}
	sysctl(t, "net/ipv6/conf/default/disable_ipv6", "1")
	// What IP makes of bridged frames is not the guard's.
	for _, name := range []string{"arptables", "iptables", "ip6tables"} {
		if _, err := os.Stat("/proc/sys/net/bridge/bridge-nf-call-" + name); err == nil {
			sysctl(t, "net/bridge/bridge-nf-call-"+name, "0")
		}
	}

	w := &wires{sockets: make(map[string]int), index: make(map[string]uint32)}
	// Nothing is learnt, so that what is said with others' addresses has no
	// part in what comes after. What is for the bridge's own protocols
	// (01:80:c2:00:00:0x) is treated as all else: without that mask it is given
	// to the host past the guard.
	var script strings.Builder
	fmt.Fprintf(&script, "link add br0 address %s up type bridge mcast_snooping 0\n", macOf('h'))
	for _, end := range guardedEnds + isolatedEnds + otherEnds {
		fmt.Fprintf(&script, "link add p%c type veth peer name %c address %s\n", end, end, macOf(byte(end)))
		fmt.Fprintf(&script, "link set dev %c up\nlink set dev p%c up master br0\n", end, end)
		fmt.Fprintf(&script, "link set dev p%c type bridge_slave learning off group_fwd_mask 0xfffd\n", end)
	}
	batch := filepath.Join(t.TempDir(), "batch")
	if err := os.WriteFile(batch, []byte(script.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "ip", "-batch", batch)

	listen := func(name string) {
		link, err := net.InterfaceByName(name)
		if err != nil {
			t.Fatal(err)
		}
		everything := uint16(unix.ETH_P_ALL)
		protocol := everything<<8 | everything>>8
		if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
			protocol = everything
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
		if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: link.Index}); err != nil {
			t.Fatal(err)
		}
		w.sockets[name] = fd
	}
	listen("br0")
	for _, end := range guardedEnds + isolatedEnds + otherEnds {
		listen(string(end))
		port, err := net.InterfaceByName("p" + string(end))
		if err != nil {
			t.Fatal(err)
		}
		w.index[string(end)] = uint32(port.Index)
	}

	// A port passes nothing until the kernel has seen that its wire is there,
	// which is not at once.
	deadline := time.Now().Add(10 * time.Second)
	for from := range w.index {
		for to := range w.sockets {
			for from != to && !w.arrives(t, from, to, 20*time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("nothing comes from %s to %s", from, to)
				}
			}
		}
	}
	return w
}

// host gives the host its addresses on the bridge, and lets it route. It knows
// where each end is.
func (w *wires) host(t *testing.T) {
	t.Helper()
	sysctl(t, "net/ipv4/ip_forward", "1")
	// A redirect holds the packet that it is about, number and all, and the
	// bridge, which learns nothing, brings it to everybody.
	sysctl(t, "net/ipv4/conf/all/send_redirects", "0")
	sysctl(t, "net/ipv4/conf/br0/send_redirects", "0")
	// So does one of IPv6, which is sent as soon as there is an address to send
	// it from: the bridge's own, of its MAC, a second or two after its making.
	sysctl(t, "net/ipv6/conf/br0/addr_gen_mode", "1") // IN6_ADDR_GEN_MODE_NONE
	sysctl(t, "net/ipv6/conf/br0/disable_ipv6", "0")
	sysctl(t, "net/ipv6/conf/all/forwarding", "1")
	run(t, "ip", "address", "add", ip4Of('h').String()+"/24", "dev", "br0")
	run(t, "ip", "address", "add", "172.16.1.1/24", "dev", "br0")
	run(t, "ip", "address", "add", ip6Of('h').String()+"/64", "dev", "br0", "nodad")
	for end := range w.index {
		for _, a := range []netip.Addr{ip4Of(end[0]), ip6Of(end[0])} {
			run(t, "ip", "neighbour", "add", a.String(), "lladdr", macOf(end[0]).String(), "dev", "br0", "nud", "permanent")
		}
	}
}

// arrives tells whether a frame arrives in time.
func (w *wires) arrives(t *testing.T, from, to string, in time.Duration) bool {
	n := w.send(t, from, hello(from[0]))
	for {
		got, ok := w.receive(t, to, in)
		if !ok || got == n {
			return ok
		}
	}
}

// guard makes the table with some of its rules, and claims for the ends.
func (w *wires) guard(t *testing.T, rules []rule) {
	t.Helper()
	reqs := []nl.Request{Bridge.newTable()}
	for _, s := range guardSets() {
		reqs = append(reqs, s.request())
	}
	for _, c := range guardChains() {
		reqs = append(reqs, c.request(Bridge))
	}
	for _, r := range rules {
		reqs = append(reqs, r.request(Bridge))
	}
	for _, end := range guardedEnds + isolatedEnds {
		reqs = append(reqs, w.claim(byte(end)).asks()...)
		reqs = append(reqs, w.claim(byte(end)).guarded(unix.NFT_MSG_NEWSETELEM, add)...)
	}
	commit(t, reqs)
}

// claim is that of the container at an end.
func (w *wires) claim(end byte) Claim {
	return Claim{
		Bridge:    "br0",
		Networks:  []netip.Prefix{netip.PrefixFrom(ip4Of('h'), 24), netip.PrefixFrom(ip6Of('h'), 64)},
		Addresses: []netip.Addr{ip4Of(end), ip6Of(end)},
		Index:     w.index[string(end)],
		MAC:       macOf(end),
		Isolated:  strings.IndexByte(isolatedEnds, end) >= 0,
	}
}

// hello is a frame that an end may say to everyone: where it is.
func hello(end byte) []byte {
	everyone := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	return eth(everyone, macOf(end), unix.ETH_P_ARP, arp(1, macOf(end), ip4Of(end), ip4Of(end)))
}

// passes tells whether a frame comes from one end to another: before what is
// said after it at the end last, which comes for certain.
func (w *wires) passes(t *testing.T, from, to string, frame []byte, last string) bool {
	t.Helper()
	sent := w.send(t, from, frame)
	end := w.send(t, last, hello(last[0]))
	passed := false
	for {
		n, ok := w.receive(t, to, 10*time.Second)
		if !ok {
			t.Fatalf("nothing comes from %s to %s", last, to)
		}
		if n == end {
			return passed
		}
		passed = passed || n == sent
	}
}

// send sends a frame, and is the number that it has behind its data.
func (w *wires) send(t *testing.T, from string, frame []byte) uint64 {
	t.Helper()
	w.sent++
	if _, err := unix.Write(w.sockets[from], binary.BigEndian.AppendUint64(slices.Clone(frame), w.sent)); err != nil {
		t.Fatalf("%s: send: %v", from, err)
	}
	return w.sent
}

// receive is the number of the next frame that arrives, if one does in time.
func (w *wires) receive(t *testing.T, to string, in time.Duration) (n uint64, ok bool) {
	t.Helper()
	timeout := unix.NsecToTimeval(in.Nanoseconds())
	if err := unix.SetsockoptTimeval(w.sockets[to], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 2000)
	for {
		n, from, err := unix.Recvfrom(w.sockets[to], b, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return 0, false
		case err != nil:
			t.Fatalf("%s: receive: %v", to, err)
		}
		// Its own frames are shown to an end, too.
		if from.(*unix.SockaddrLinklayer).Pkttype != unix.PACKET_OUTGOING && n >= 14+8 {
			return binary.BigEndian.Uint64(b[n-8 : n]), true
		}
	}
}

// sysctl sets a setting of this network namespace.
func sysctl(t *testing.T, name, value string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}
