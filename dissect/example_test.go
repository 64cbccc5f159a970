//go:build linux && !(mips || mips64 || ppc64 || s390x)

package dissect_test

import (
	"fmt"

	"golang.org/x/sys/unix"

	"container/dissect"
	"container/nl"
	"container/rtnl"
)

// Numbers have the host's byte order: this is what a little-endian one sends.

// ip link set dev lo up
func ExampleMessage() {
	b := nl.Marshal([]nl.Request{rtnl.Up(rtnl.LoopbackIndex, "lo")})
	fmt.Print(dissect.Message(unix.NETLINK_ROUTE, b))
	// Output:
	//                          struct nlmsghdr
	// 20 00 00 00                nlmsg_len 32
	// 10 00                      nlmsg_type RTM_NEWLINK
	// 05 00                      nlmsg_flags NLM_F_REQUEST|NLM_F_ACK
	// 01 00 00 00                nlmsg_seq 1
	// 00 00 00 00                nlmsg_pid 0
	//                          struct ifinfomsg
	// 00                         ifi_family AF_UNSPEC
	// 00                         __ifi_pad 0
	// 00 00                      ifi_type 0
	// 01 00 00 00                ifi_index 1
	// 01 00 00 00                ifi_flags IFF_UP
	// 01 00 00 00                ifi_change IFF_UP
}
