//go:build linux && !(mips || mips64 || ppc64 || s390x)

package rtnl_test

import (
	"fmt"
	"net/netip"

	"container/nl"
	"container/rtnl"
)

// Numbers have the host's byte order: this is what a little-endian one sends.

// The message that the package comment takes apart.
func ExampleUp() {
	b := nl.Marshal([]nl.Request{rtnl.Up(rtnl.LoopbackIndex, "lo")})
	fmt.Printf("% x  struct nlmsghdr\n", b[:16])
	fmt.Printf("% x  struct ifinfomsg\n", b[16:])
	// Output:
	// 20 00 00 00 10 00 05 00 01 00 00 00 00 00 00 00  struct nlmsghdr
	// 00 00 00 00 01 00 00 00 01 00 00 00 01 00 00 00  struct ifinfomsg
}

func ExampleDefaultRoute() {
	r := rtnl.DefaultRoute(netip.MustParseAddr("172.16.0.100"))
	fmt.Println(r.Cmd)
	fmt.Printf("% x  struct rtmsg\n", r.Data[:12])
	fmt.Printf("% x  RTA_GATEWAY\n", r.Data[12:])
	// Output:
	// ip route add default via 172.16.0.100
	// 02 00 00 00 fe 03 00 01 00 00 00 00  struct rtmsg
	// 08 00 05 00 ac 10 00 64  RTA_GATEWAY
}
