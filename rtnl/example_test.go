//go:build linux

package rtnl_test

import (
	"fmt"
	"log"
	"net"
	"net/netip"
	"time"

	"container/nl"
	"container/rtnl"
)

// A bridge with an address, in one system call. It takes CAP_NET_ADMIN.
func Example() {
	c, err := rtnl.Dial(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if err := c.Do(rtnl.Bridge("br0", net.HardwareAddr{0x02, 0, 0, 0, 0, 1})); err != nil {
		log.Fatal(err)
	}
	br0, err := rtnl.Get(c, rtnl.GetLink("br0"))
	if err != nil {
		log.Fatal(err)
	}
	if err := c.Do(rtnl.Address(br0.Index, br0.Name, netip.MustParsePrefix("172.16.0.100/24"))); err != nil {
		log.Fatal(err)
	}
}

// A request sends nothing. It can be shown instead: as the words of an error
// message, and as the command that does the same.
func ExampleVeth() {
	r := rtnl.Veth("veth1f3a", nil, "br0", 3, 1500, rtnl.VethPeer{Name: "eth0", PID: 4711})
	fmt.Println(r.What)
	fmt.Println(r.Cmd)
	// Output:
	// bridge br0: add port veth1f3a
	// ip link add name veth1f3a mtu 1500 master br0 up type veth peer name eth0 mtu 1500 netns 4711
}

// An alias may hold anything: the command is quoted for the shell.
func ExampleSetAlias() {
	fmt.Println(rtnl.SetAlias("veth1f3a", "sh -c 'echo $HOME'").Cmd)
	// Output:
	// ip link set dev veth1f3a alias 'sh -c '\''echo $HOME'\'''
}

func ExampleAddress() {
	for _, p := range []string{"172.16.0.30/24", "10.0.0.0/31", "fd00::1e/64"} {
		fmt.Println(rtnl.Address(2, "eth0", netip.MustParsePrefix(p)).Cmd)
	}
	// Output:
	// ip addr add 172.16.0.30/24 dev eth0 broadcast +
	// ip addr add 10.0.0.0/31 dev eth0
	// ip addr add fd00::1e/64 dev eth0 nodad
}

// The network of a container, from a bridge to a default route: what the host
// sends, and then what is sent in the container's network namespace. (Indexes
// are the kernel's to give: Get looks them up.)
func Example_container() {
	gateway := netip.MustParsePrefix("172.16.0.100/24")
	mac := net.HardwareAddr{0x02, 0, 0, 0, 0, 0x05}
	for _, r := range []nl.Request{
		rtnl.Bridge("br0", net.HardwareAddr{0x02, 0, 0, 0, 0, 0x01}),
		rtnl.Address(3, "br0", gateway),
		rtnl.Set(3, "br0", rtnl.RouteLocalnet),
		rtnl.Veth("veth1f3a", nil, "br0", 3, 1500, rtnl.VethPeer{Name: "veth1", MAC: mac, PID: 4711}),
		rtnl.SetPort(rtnl.Port{Name: "veth1f3a", Alias: "bash", Hairpin: true, Guard: true, ForwardGroups: rtnl.AllGroups}),
	} {
		fmt.Println(r.Cmd)
	}
	fmt.Println("nsenter -t 4711 -n")
	for _, r := range []nl.Request{
		rtnl.Up(rtnl.LoopbackIndex, "lo"),
		rtnl.Up(2, "veth1"),
		rtnl.Address(2, "veth1", netip.MustParsePrefix("172.16.0.30/24")),
		rtnl.DefaultRoute(gateway.Addr()),
		rtnl.Set(2, "veth1", rtnl.ARPNotify),
		rtnl.Announce(2, "veth1", mac),
	} {
		fmt.Println(r.Cmd)
	}
	// Output:
	// ip link add name br0 address 02:00:00:00:00:01 up type bridge
	// ip addr add 172.16.0.100/24 dev br0 broadcast +
	// sysctl -w net.ipv4.conf.br0.route_localnet=1
	// ip link add name veth1f3a mtu 1500 master br0 up type veth peer name veth1 address 02:00:00:00:00:05 mtu 1500 netns 4711
	// ip link set dev veth1f3a alias 'bash' type bridge_slave hairpin on guard on isolated off group_fwd_mask 0xfffd
	// nsenter -t 4711 -n
	// ip link set dev lo up
	// ip link set dev veth1 up
	// ip addr add 172.16.0.30/24 dev veth1 broadcast +
	// ip route add default via 172.16.0.100
	// sysctl -w net.ipv4.conf.veth1.arp_notify=1
	// ip link set dev veth1 address 02:00:00:00:00:05
}

// What a bridge is told of one of its ports: that the container there may call
// its own published port, can't make itself the root of a spanning tree, and
// that nothing that it sends passes the rules by.
func ExampleSetPort() {
	r := rtnl.SetPort(rtnl.Port{Name: "veth1f3a", Alias: "bash", Hairpin: true, Guard: true, ForwardGroups: rtnl.AllGroups})
	fmt.Println(r.What)
	fmt.Println(r.Cmd)
	// Output:
	// link veth1f3a: set its alias and what the bridge does at it
	// ip link set dev veth1f3a alias 'bash' type bridge_slave hairpin on guard on isolated off group_fwd_mask 0xfffd
}

// An address that moves to another container: the neighbours are told.
func ExampleAnnounce() {
	fmt.Println(rtnl.Set(2, "veth1", rtnl.ARPNotify).Cmd)
	fmt.Println(rtnl.Announce(2, "veth1", net.HardwareAddr{0x02, 0, 0, 0, 0, 0x05}).Cmd)
	// Output:
	// sysctl -w net.ipv4.conf.veth1.arp_notify=1
	// ip link set dev veth1 address 02:00:00:00:00:05
}

// Who has an address: what is known of it is forgotten, the kernel asks, by ARP
// or by a neighbour solicitation, and the answer is looked up. The bridge knows
// which port it came by.
func ExampleProbe() {
	for _, a := range []netip.Addr{netip.MustParseAddr("172.16.0.30"), netip.MustParseAddr("fd00:16::30")} {
		fmt.Println(rtnl.DeleteNeighbour(3, "br0", a).Cmd)
		fmt.Println(rtnl.Probe(3, "br0", a).Cmd)
		fmt.Println(rtnl.GetNeighbour(3, "br0", a).Cmd)
	}
	fmt.Println(rtnl.GetForwarding(3, "br0", net.HardwareAddr{0x02, 0, 0, 0, 0, 0x05}).Cmd)
	// Output:
	// ip neigh del 172.16.0.30 dev br0
	// ip neigh replace 172.16.0.30 dev br0 nud none use
	// ip neigh get 172.16.0.30 dev br0
	// ip neigh del fd00:16::30 dev br0
	// ip neigh replace fd00:16::30 dev br0 nud none use
	// ip neigh get fd00:16::30 dev br0
	// bridge fdb get 02:00:00:00:00:05 br br0
}

// The same, sent. It takes CAP_NET_ADMIN, and a bridge br0 that has an address
// to ask from.
func ExampleSolicit() {
	c, err := rtnl.Dial(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	br0, err := rtnl.Get(c, rtnl.GetLink("br0"))
	if err != nil {
		log.Fatal(err)
	}
	a := netip.MustParseAddr("172.16.0.30")
	if err := rtnl.Solicit(c, br0.Index, br0.Name, a); err != nil {
		log.Fatal(err)
	}
	n, err := rtnl.AwaitNeighbour(c, br0.Index, br0.Name, a, time.Second)
	if err != nil {
		log.Fatal(err)
	}
	if !n.IsValid() {
		fmt.Println("nobody has", a)
		return
	}
	port, err := rtnl.PortOf(c, br0.Index, br0.Name, n.MAC)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(a, "is", n.MAC, "at the port of index", port)
}

// Which way a packet would take. The kernel looks it up as it does for a packet.
func ExampleGetRoute() {
	for _, a := range []string{"192.0.2.1", "2001:db8::1"} {
		r := rtnl.GetRoute(netip.MustParseAddr(a))
		fmt.Println(r.What)
		fmt.Println(r.Cmd)
	}
	// Output:
	// route to 192.0.2.1: look up
	// ip route get 192.0.2.1
	// route to 2001:db8::1: look up
	// ip route get 2001:db8::1
}

// The link that the default route leaves by, and its MTU: that of a new
// container's.
func ExampleRouteTo() {
	c, err := rtnl.Dial(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	way, err := rtnl.RouteTo(c, netip.MustParseAddr("192.0.2.1"))
	if err != nil {
		log.Fatal(err)
	}
	link, err := rtnl.Get(c, rtnl.GetLinkIndex(way.Index))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("by", link.Name, "to", way.Gateway, "with an MTU of", link.MTU)
}
