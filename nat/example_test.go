//go:build linux

package nat_test

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"container/nat"
	"container/nl"
)

var web = nat.Claim{
	Bridge:  "br0",
	Network: netip.MustParsePrefix("172.16.0.0/24"),
	Address: netip.MustParseAddr("172.16.0.30"),
	Index:   7,
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
func ExampleRuleset() {
	for _, r := range nat.Ruleset() {
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
	// nft add rule ip container forward 'iifname . oifname @inside accept'
	// nft add rule ip container forward 'drop'
}

// A transaction is its messages between two marks.
func ExampleBatch() {
	for _, r := range nat.Batch([]nl.Request{nat.DeleteTable()}) {
		fmt.Println(r.What)
	}
	// Output:
	// nf_tables transaction: begin
	// table ip container: delete
	// nf_tables transaction: commit
}
