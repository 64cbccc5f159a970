//go:build linux

package rtnl_test

import (
	"fmt"
	"log"
	"net"
	"net/netip"

	"container/rtnl"
)

// A bridge with an address, in one system call. It takes CAP_NET_ADMIN.
func Example() {
	c, err := rtnl.Dial()
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
	r := rtnl.Veth("veth1f3a", "br0", 3, 1500, rtnl.VethPeer{Name: "eth0", PID: 4711})
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
