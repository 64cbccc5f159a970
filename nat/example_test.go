//go:build linux

package nat_test

import (
	"fmt"
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
}

// A container of both families is in three tables. The third, of the bridge,
// holds it to its own addresses: the hardware address, those that it was given,
// and the one of fe80::/64 that its kernel gives it.
func ExampleClaim_Take_both() {
	claim := nat.Claim{
		Bridge:    "br0",
		Networks:  []netip.Prefix{netip.MustParsePrefix("172.16.0.0/24"), netip.MustParsePrefix("fd00:16::/64")},
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
	// nft add element ip container isolated '{ 172.16.0.30 }'
	// nft add element ip6 container isolated '{ fd00:16::30 }'
	// nft add element bridge container ports '{ 7 }'
	// nft add element bridge container macs '{ 7 . 02:00:00:00:00:05 }'
	// nft add element bridge container addresses '{ 7 . 172.16.0.30 }'
	// nft add element bridge container addresses6 '{ 7 . fd00:16::30, 7 . fe80::ff:fe00:5 }'
	// nft add element bridge container targets '{ 7 . 0xfd000016000000000000000000000030, 7 . 0xfe80000000000000000000fffe000005 }'
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
	// nft delete element ip container lease '{ 172.16.0.30 : 7 }'
	// nft delete element ip container publish_at '{ 127.0.0.1 . udp . 53 : 172.16.0.30 . 5353 }'
	// nft delete element ip container publish '{ tcp . 80 : 172.16.0.30 . 8000 }'
}

// The whole table, as a shell script for nft(8).
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
	// nft add chain ip container loopback '{ type filter hook prerouting priority -300; policy accept; }'
	// nft add chain ip container publish
	// nft add chain ip container prerouting '{ type nat hook prerouting priority -100; policy accept; }'
	// nft add chain ip container output '{ type nat hook output priority -100; policy accept; }'
	// nft add chain ip container postrouting '{ type nat hook postrouting priority 100; policy accept; }'
	// nft add chain ip container forward '{ type filter hook forward priority 0; policy accept; }'
	// nft add rule ip container loopback 'iifname != "lo" ip daddr 127.0.0.0/8 drop'
	// nft add rule ip container loopback 'iifname != "lo" ip saddr 127.0.0.0/8 drop'
	// nft add rule ip container publish 'dnat ip to ip daddr . meta l4proto . th dport map @publish_at'
	// nft add rule ip container publish 'dnat ip to meta l4proto . th dport map @publish'
	// nft add rule ip container prerouting 'fib daddr type local jump publish'
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
	// nft add chain bridge container prerouting '{ type filter hook prerouting priority -200; policy accept; }'
	// nft add chain bridge container forward '{ type filter hook forward priority -200; policy accept; }'
	// nft add rule bridge container prerouting 'iif != @ports accept'
	// nft add rule bridge container prerouting 'iif . ether saddr != @macs drop'
	// nft add rule bridge container prerouting 'ether type 8021q drop'
	// nft add rule bridge container prerouting 'ether type 8021ad drop'
	// nft add rule bridge container prerouting 'iif . arp saddr ether @macs iif . arp saddr ip @addresses accept'
	// nft add rule bridge container prerouting 'iif . ip saddr @addresses accept'
	// nft add rule bridge container prerouting 'icmpv6 type nd-router-advert drop'
	// nft add rule bridge container prerouting 'icmpv6 type nd-redirect drop'
	// nft add rule bridge container prerouting 'ip6 nexthdr != ipv6-icmp icmpv6 type nd-neighbor-advert drop'
	// nft add rule bridge container prerouting 'icmpv6 type nd-neighbor-advert iif . @nh,384,128 != @targets drop'
	// nft add rule bridge container prerouting 'ip6 saddr :: icmpv6 type mld2-listener-report accept'
	// nft add rule bridge container prerouting 'iif . ip6 saddr @addresses6 accept'
	// nft add rule bridge container prerouting 'drop'
	// nft add rule bridge container forward 'meta pkttype != host iif @isolated oif @ports drop'
	// nft add rule bridge container forward 'meta pkttype != host iif @ports oif @isolated drop'
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
