//go:build linux

package nat_test

import (
	"fmt"
	"log"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"container/nat"
	"container/nl"
)

var web = nat.Claim{
	Bridge:    "br0",
	Networks:  []netip.Prefix{netip.MustParsePrefix("172.16.0.0/24")},
	Addresses: []netip.Addr{netip.MustParseAddr("172.16.0.30")},
	Index:     7,
	Ports: []nat.Port{
		{HostPort: 80, Port: 8000, Proto: unix.IPPROTO_TCP},
		{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: 53, Port: 5353, Proto: unix.IPPROTO_UDP},
	},
}

// What a container adds to the ruleset: elements of sets and maps, and no
// rule. "create" is refused when somebody has the key already; "add" is not.
func ExampleClaim_Take() {
	for _, r := range web.Take() {
		fmt.Println(r.Cmd)
	}
	// Output:
	// nft add element ip container bridges '{ "br0" }'
	// nft add element ip container inside '{ "br0" . "br0" }'
	// nft add element ip container network '{ 172.16.0.0/24 }'
	// nft create element ip container lease '{ 172.16.0.30 : 7 }'
	// nft create element ip container publish_at '{ 127.0.0.1 . udp . 53 : 172.16.0.30 . 5353 }'
	// nft create element ip container publish '{ tcp . 80 : 172.16.0.30 . 8000 }'
	// nft add element ip container living '{ 172.16.0.30 }'
}

// A container of both families is in three tables. The third, of the bridge,
// holds it to its own addresses: the hardware address, those that it was given,
// and the one of fe80::/64 that its kernel gives it. Those that it was given
// nobody else may have.
func ExampleClaim_Take_both() {
	claim := nat.Claim{
		Bridge:    "br0",
		Networks:  []netip.Prefix{netip.MustParsePrefix("172.16.0.100/24"), netip.MustParsePrefix("fd00:16::100/64")},
		Addresses: []netip.Addr{netip.MustParseAddr("172.16.0.30"), netip.MustParseAddr("fd00:16::30")},
		Index:     7,
		MAC:       net.HardwareAddr{0x02, 0, 0, 0, 0, 0x05},
		Isolated:  true,
		Ports: []nat.Port{
			{HostPort: 80, Port: 8000, Proto: unix.IPPROTO_TCP},
			{HostIP: netip.IPv6Unspecified(), HostPort: 81, Port: 8001, Proto: unix.IPPROTO_TCP},
		},
	}
	for _, r := range claim.Take() {
		fmt.Println(r.Cmd)
	}
	// Output:
	// nft add element ip container bridges '{ "br0" }'
	// nft add element ip container inside '{ "br0" . "br0" }'
	// nft add element ip container network '{ 172.16.0.0/24 }'
	// nft add element ip6 container bridges '{ "br0" }'
	// nft add element ip6 container inside '{ "br0" . "br0" }'
	// nft add element ip6 container network '{ fd00:16::/64 }'
	// nft create element ip container lease '{ 172.16.0.30 : 7 }'
	// nft create element ip container publish '{ tcp . 80 : 172.16.0.30 . 8000 }'
	// nft create element ip6 container lease '{ fd00:16::30 : 7 }'
	// nft create element ip6 container publish '{ tcp . 80 : fd00:16::30 . 8000, tcp . 81 : fd00:16::30 . 8001 }'
	// nft add element ip container living '{ 172.16.0.30 }'
	// nft add element ip6 container living '{ fd00:16::30 }'
	// nft add element ip container isolated '{ 172.16.0.30 }'
	// nft add element ip6 container isolated '{ fd00:16::30 }'
	// nft add element bridge container gateways '{ 172.16.0.100 }'
	// nft add element bridge container ports '{ 7 }'
	// nft add element bridge container macs '{ 7 . 02:00:00:00:00:05 }'
	// nft add element bridge container addresses '{ 7 . 172.16.0.30 }'
	// nft add element bridge container owned '{ 172.16.0.30 }'
	// nft add element bridge container sources '{ 7 . 02:00:00:00:00:05 . ip . 172.16.0.30 }'
	// nft add element bridge container addresses6 '{ 7 . fd00:16::30, 7 . fe80::ff:fe00:5 }'
	// nft add element bridge container targets '{ 7 . 0xfd000016000000000000000000000030, 7 . 0xfe80000000000000000000fffe000005 }'
	// nft add element bridge container owned6 '{ 0xfd000016000000000000000000000030 }'
	// nft add element bridge container isolated '{ 7 }'
}

// Each element is added before it is deleted. If the key is somebody else's by
// now, adding it is refused, and the transaction with it.
func ExampleClaim_Release() {
	for _, r := range web.Release() {
		fmt.Println(r.Cmd)
	}
	// Output:
	// nft add element ip container lease '{ 172.16.0.30 : 7 }'
	// nft add element ip container publish_at '{ 127.0.0.1 . udp . 53 : 172.16.0.30 . 5353 }'
	// nft add element ip container publish '{ tcp . 80 : 172.16.0.30 . 8000 }'
	// nft add element ip container living '{ 172.16.0.30 }'
	// nft delete element ip container lease '{ 172.16.0.30 : 7 }'
	// nft delete element ip container publish_at '{ 127.0.0.1 . udp . 53 : 172.16.0.30 . 5353 }'
	// nft delete element ip container publish '{ tcp . 80 : 172.16.0.30 . 8000 }'
	// nft delete element ip container living '{ 172.16.0.30 }'
}

// The table, as a shell script for nft(8).
func ExampleFamily_Ruleset() {
	for _, r := range nat.IPv4.Ruleset() {
		fmt.Println(r.Cmd)
	}
	// Output:
	// nft create table ip container
	// nft add set ip container bridges '{ type ifname; }'
	// nft add set ip container inside '{ type ifname . ifname; }'
	// nft add set ip container network '{ type ipv4_addr; flags interval; }'
	// nft add map ip container lease '{ type ipv4_addr : iface_index; }'
	// nft add map ip container publish '{ type inet_proto . inet_service : ipv4_addr . inet_service; }'
	// nft add map ip container publish_at '{ type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }'
	// nft add set ip container sysctl '{ type mark; }'
	// nft add set ip container isolated '{ type ipv4_addr; }'
	// nft add set ip container living '{ type ipv4_addr; }'
	// nft add chain ip container publish
	// nft add chain ip container prerouting '{ type nat hook prerouting priority -100; policy accept; }'
	// nft add chain ip container input '{ type filter hook input priority 0; policy accept; }'
	// nft add chain ip container output '{ type nat hook output priority -100; policy accept; }'
	// nft add chain ip container postrouting '{ type nat hook postrouting priority 100; policy accept; }'
	// nft add chain ip container forward '{ type filter hook forward priority 0; policy accept; }'
	// nft add rule ip container publish 'dnat ip to ip daddr . meta l4proto . th dport map @publish_at'
	// nft add rule ip container publish 'dnat ip to meta l4proto . th dport map @publish'
	// nft add rule ip container prerouting 'ip daddr 127.0.0.0/8 iifname != "lo" drop'
	// nft add rule ip container prerouting 'ip saddr 127.0.0.0/8 iifname != "lo" drop'
	// nft add rule ip container prerouting 'fib daddr type local jump publish'
	// nft add rule ip container input 'ip daddr 127.0.0.0/8 ct status snat accept'
	// nft add rule ip container input 'ip daddr 127.0.0.0/8 iifname != "lo" drop'
	// nft add rule ip container input 'ip saddr 127.0.0.0/8 iifname != "lo" drop'
	// nft add rule ip container output 'fib daddr type local jump publish'
	// nft add rule ip container postrouting 'oifname != "lo" oifname != @bridges ip saddr @network masquerade'
	// nft add rule ip container postrouting 'oifname @bridges ip saddr 127.0.0.0/8 masquerade'
	// nft add rule ip container postrouting 'oifname @bridges ip saddr @network ct status dnat masquerade'
	// nft add rule ip container forward 'ct state established,related accept'
	// nft add rule ip container forward 'oifname != @bridges accept'
	// nft add rule ip container forward 'ct status dnat accept'
	// nft add rule ip container forward 'ip saddr @isolated drop'
	// nft add rule ip container forward 'ip daddr @isolated drop'
	// nft add rule ip container forward 'iifname . oifname @inside accept'
	// nft add rule ip container forward 'drop'
}

// What is added where the kernel has all that it takes.
func ExampleFamily_Optional() {
	for _, r := range nat.IPv4.Optional() {
		fmt.Println(r.Cmd)
	}
	// Output:
	// nft add chain ip container dead
	// nft add chain ip container cut '{ type filter hook prerouting priority -150; policy accept; }'
	// nft add chain ip container cut_host '{ type filter hook output priority -150; policy accept; }'
	// nft insert rule ip container postrouting 'ct status dnat meta l4proto tcp ip daddr @living ct label set 127'
	// nft add rule ip container dead 'tcp flags psh reject with tcp reset'
	// nft add rule ip container dead 'meta length > 120 reject with tcp reset'
	// nft add rule ip container cut 'ct status dnat ct direction original ct reply ip saddr != @living ct label 127 jump dead'
	// nft add rule ip container cut_host 'ct status dnat ct direction original ct reply ip saddr != @living ct label 127 jump dead'
}

// The table that stands at the ports of the bridges, as a shell script.
func ExampleFamily_Ruleset_bridge() {
	for _, r := range nat.Bridge.Ruleset() {
		fmt.Println(r.Cmd)
	}
	// Output:
	// nft create table bridge container
	// nft add set bridge container ports '{ type iface_index; }'
	// nft add set bridge container macs '{ type iface_index . ether_addr; }'
	// nft add set bridge container addresses '{ type iface_index . ipv4_addr; }'
	// nft add set bridge container addresses6 '{ type iface_index . ipv6_addr; }'
	// nft add set bridge container targets '{ typeof iif . @nh,384,128; }'
	// nft add set bridge container isolated '{ type iface_index; }'
	// nft add set bridge container owned '{ type ipv4_addr; }'
	// nft add set bridge container owned6 '{ typeof @nh,384,128; }'
	// nft add set bridge container sources '{ type iface_index . ether_addr . ether_type . ipv4_addr; }'
	// nft add set bridge container gateways '{ type ipv4_addr; }'
	// nft add chain bridge container prerouting '{ type filter hook prerouting priority -200; policy accept; }'
	// nft add chain bridge container forward '{ type filter hook forward priority -200; policy accept; }'
	// nft add chain bridge container output '{ type filter hook output priority -200; policy accept; }'
	// nft add rule bridge container prerouting 'iif . ether saddr . ether type . ip saddr @sources accept'
	// nft add rule bridge container prerouting 'arp saddr ip @owned iif != @ports drop'
	// nft add rule bridge container prerouting 'ip6 nexthdr != ipv6-icmp icmpv6 type nd-neighbor-advert drop'
	// nft add rule bridge container prerouting 'icmpv6 type nd-neighbor-advert @nh,384,128 @owned6 iif != @ports drop'
	// nft add rule bridge container prerouting 'iif != @ports accept'
	// nft add rule bridge container prerouting 'iif . ether saddr != @macs drop'
	// nft add rule bridge container prerouting 'ether type 8021q drop'
	// nft add rule bridge container prerouting 'ether type 8021ad drop'
	// nft add rule bridge container prerouting 'iif . arp saddr ether @macs iif . arp saddr ip @addresses accept'
	// nft add rule bridge container prerouting 'icmpv6 type nd-router-advert drop'
	// nft add rule bridge container prerouting 'icmpv6 type nd-redirect drop'
	// nft add rule bridge container prerouting 'icmpv6 type nd-neighbor-advert iif . @nh,384,128 != @targets drop'
	// nft add rule bridge container prerouting 'ip6 saddr :: icmpv6 type mld2-listener-report accept'
	// nft add rule bridge container prerouting 'iif . ip6 saddr @addresses6 accept'
	// nft add rule bridge container prerouting 'drop'
	// nft add rule bridge container forward 'meta pkttype != host iif @isolated oif @ports drop'
	// nft add rule bridge container forward 'meta pkttype != host iif @ports oif @isolated drop'
	// nft add rule bridge container forward 'arp operation request iif @ports oif @ports iif . arp daddr ip != @addresses oif . arp daddr ip != @addresses drop'
	// nft add rule bridge container output 'arp operation request oif @ports arp saddr ip @gateways arp daddr ip != @gateways oif . arp daddr ip != @addresses drop'
}

// A port as -p takes it.
func ExamplePort_String() {
	p := nat.Port{HostPort: 80, Port: 8000, Proto: unix.IPPROTO_TCP}
	fmt.Println(p)
	p.HostIP = netip.MustParseAddr("127.0.0.1")
	fmt.Println(p)
	p.HostIP = netip.MustParseAddr("::1")
	fmt.Println(p)
	// Output:
	// 80:8000/tcp
	// 127.0.0.1:80:8000/tcp
	// [::1]:80:8000/tcp
}

// A transaction is its messages between two marks.
func ExampleBatch() {
	for _, r := range nat.Batch([]nl.Request{nat.IPv4.DeleteTable()}) {
		fmt.Println(r.What)
	}
	// Output:
	// nf_tables transaction: begin
	// table ip container: delete
	// nf_tables transaction: commit
}

// An address is leased to a process first, that of the run, and to the veth when
// there is one, in the transaction that publishes the ports. (The veth's index
// is 7. A process's number has the highest bit set, which no index has.)
func ExampleHold() {
	addrs := []netip.Addr{netip.MustParseAddr("172.16.0.30"), netip.MustParseAddr("fd00:16::30")}
	for _, r := range nat.Hold(addrs, 4711) {
		fmt.Println(r.Cmd)
	}
	fmt.Println()
	for _, r := range (nat.Claim{Addresses: addrs, Index: 7, Held: 4711}).Take() {
		fmt.Println(r.Cmd)
	}
	// Output:
	// nft create element ip container lease '{ 172.16.0.30 : 2147488359 }'
	// nft create element ip6 container lease '{ fd00:16::30 : 2147488359 }'
	//
	// nft add element ip container lease '{ 172.16.0.30 : 2147488359 }'
	// nft add element ip6 container lease '{ fd00:16::30 : 2147488359 }'
	// nft delete element ip container lease '{ 172.16.0.30 : 2147488359 }'
	// nft delete element ip6 container lease '{ fd00:16::30 : 2147488359 }'
	// nft create element ip container lease '{ 172.16.0.30 : 7 }'
	// nft create element ip6 container lease '{ fd00:16::30 : 7 }'
	// nft add element ip container living '{ 172.16.0.30 }'
	// nft add element ip6 container living '{ fd00:16::30 }'
}

// A killed run's claim, found stale in a look at the ruleset's generation 42. If
// anybody has changed the ruleset since, the kernel refuses all of it
// (ERESTART).
func ExampleDrop() {
	lease := nat.Lease{Address: netip.MustParseAddr("172.16.0.30"), Index: 7}
	port := nat.Published{
		Port:    nat.Port{HostIP: netip.IPv4Unspecified(), HostPort: 80, Port: 8000, Proto: unix.IPPROTO_TCP},
		Address: lease.Address,
	}
	for _, r := range nat.BatchAt(42, nat.Drop([]nat.Lease{lease}, []nat.Published{port}, nil)) {
		fmt.Println(r.What)
		if r.Cmd != "" {
			fmt.Println("\t" + r.Cmd)
		}
	}
	// Output:
	// nf_tables transaction: begin
	// map ip container lease: delete 172.16.0.30 : 7
	// 	nft delete element ip container lease '{ 172.16.0.30 : 7 }'
	// map ip container publish: delete tcp . 80 : 172.16.0.30 . 8000
	// 	nft delete element ip container publish '{ tcp . 80 : 172.16.0.30 . 8000 }'
	// nf_tables transaction: commit
}

// The IPv6 table, as a shell script for nft(8).
func ExampleFamily_Ruleset_ipv6() {
	for _, r := range nat.IPv6.Ruleset() {
		fmt.Println(r.Cmd)
	}
	// Output:
	// nft create table ip6 container
	// nft add set ip6 container bridges '{ type ifname; }'
	// nft add set ip6 container inside '{ type ifname . ifname; }'
	// nft add set ip6 container network '{ type ipv6_addr; flags interval; }'
	// nft add map ip6 container lease '{ type ipv6_addr : iface_index; }'
	// nft add map ip6 container publish '{ type inet_proto . inet_service : ipv6_addr . inet_service; }'
	// nft add map ip6 container publish_at '{ type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }'
	// nft add set ip6 container sysctl '{ type mark; }'
	// nft add set ip6 container isolated '{ type ipv6_addr; }'
	// nft add set ip6 container living '{ type ipv6_addr; }'
	// nft add chain ip6 container publish
	// nft add chain ip6 container prerouting '{ type nat hook prerouting priority -100; policy accept; }'
	// nft add chain ip6 container input '{ type filter hook input priority 0; policy accept; }'
	// nft add chain ip6 container output '{ type nat hook output priority -100; policy accept; }'
	// nft add chain ip6 container postrouting '{ type nat hook postrouting priority 100; policy accept; }'
	// nft add chain ip6 container forward '{ type filter hook forward priority 0; policy accept; }'
	// nft add rule ip6 container publish 'dnat ip6 to ip6 daddr . meta l4proto . th dport map @publish_at'
	// nft add rule ip6 container publish 'dnat ip6 to meta l4proto . th dport map @publish'
	// nft add rule ip6 container prerouting 'ip6 daddr ::1 iifname != "lo" drop'
	// nft add rule ip6 container prerouting 'ip6 saddr ::1 iifname != "lo" drop'
	// nft add rule ip6 container prerouting 'fib daddr type local jump publish'
	// nft add rule ip6 container input 'ip6 daddr ::1 iifname != "lo" drop'
	// nft add rule ip6 container input 'ip6 saddr ::1 iifname != "lo" drop'
	// nft add rule ip6 container output 'ip6 daddr ::1 return'
	// nft add rule ip6 container output 'fib daddr type local jump publish'
	// nft add rule ip6 container postrouting 'oifname != "lo" oifname != @bridges ip6 saddr @network masquerade'
	// nft add rule ip6 container postrouting 'oifname @bridges ip6 saddr @network ct status dnat masquerade'
	// nft add rule ip6 container forward 'ct state established,related accept'
	// nft add rule ip6 container forward 'oifname != @bridges accept'
	// nft add rule ip6 container forward 'ct status dnat accept'
	// nft add rule ip6 container forward 'ip6 saddr @isolated drop'
	// nft add rule ip6 container forward 'ip6 daddr @isolated drop'
	// nft add rule ip6 container forward 'iifname . oifname @inside accept'
	// nft add rule ip6 container forward 'drop'
}

// What connection tracking knows of a container that is gone, and of a UDP port
// that leads elsewhere now, is forgotten. The flows of an IPv6 address the
// kernel can't be told to delete: they are listed (Cut).
func ExampleFlows_Delete() {
	flows := nat.Flows{
		Addrs: []netip.Addr{netip.MustParseAddr("172.16.0.30")},
		Ports: []nat.Port{{HostIP: netip.MustParseAddr("10.0.0.1"), HostPort: 53, Port: 5353, Proto: unix.IPPROTO_UDP}},
	}
	reqs, all := flows.Delete()
	for _, r := range reqs {
		fmt.Println(r.Cmd)
	}
	fmt.Println("that is all:", all)

	flows.Addrs = append(flows.Addrs, netip.MustParseAddr("fd00:16::30"))
	_, all = flows.Delete()
	fmt.Println("with an IPv6 address:", all)
	// Output:
	// conntrack -D -f ipv4 --reply-src 172.16.0.30
	// conntrack -D -f ipv4 --orig-src 172.16.0.30
	// conntrack -D -f ipv4 -p udp --orig-dst 10.0.0.1 --orig-port-dst 53
	// that is all: true
	// with an IPv6 address: false
}

// A host's own firewall drops what is forwarded. The rules that let a bridge's
// packets pass are added where they are read before that; with a "forward"
// chain of policy drop in a table "filter" of family inet, this prints
//
//	nft add rule inet filter forward 'iifname "br0" accept comment "container: br0"'
//	nft add rule inet filter forward 'oifname "br0" accept comment "container: br0"'
//
// It takes CAP_NET_ADMIN.
func ExampleGates() {
	c, err := nat.Dial(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	gen, err := nat.Generation(c)
	if err != nil {
		log.Fatal(err)
	}
	gates, err := nat.Gates(c, "br0")
	if err != nil {
		log.Fatal(err)
	}
	for _, g := range gates {
		for _, r := range g.Open() {
			fmt.Println(r.Cmd)
		}
		if err := c.Do(nat.BatchAt(gen, g.Open())...); err != nil {
			log.Fatal(err)
		}
	}
}

// A table that belongs to a process can be changed by nobody else: a person is
// told what to do.
func ExampleGate_Remedy() {
	g := nat.Gate{Family: unix.NFPROTO_INET, Table: "firewalld", Chain: "filter_FORWARD", Bridge: "br0", Owner: 812}
	fmt.Println(g.Remedy())
	g.Table, g.Chain = "filter", "forward"
	fmt.Println(g.Remedy())
	// Output:
	// firewall-cmd --zone=trusted --add-interface=br0
	// process 812 must accept iifname "br0" and oifname "br0" in chain inet filter forward
}

// A gate is closed again by the handle that the kernel gave the rule.
func ExampleOpening_Close() {
	o := nat.Opening{Family: unix.NFPROTO_INET, Table: "filter", Chain: "forward", Handle: 9, Bridge: "br0"}
	r := o.Close()
	fmt.Println(r.What)
	fmt.Println(r.Cmd)
	// Output:
	// chain inet filter forward: delete the rule for br0, handle 9
	// nft delete rule inet filter forward handle 9
}

// Ports that follow one upon another, as one -p takes them.
func ExamplePort_RangeString() {
	p := nat.Port{HostPort: 8000, Port: 9000, Proto: unix.IPPROTO_TCP}
	fmt.Println(p.RangeString(100))
	// Output:
	// 8000-8099:9000-9099/tcp
}
