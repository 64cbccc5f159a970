//go:build linux

package rtnl

import (
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/nl"
)

// rtmsg is a route message's header, for a unicast route of the main table.
//
//	struct rtmsg {
//		unsigned char rtm_family;
//		unsigned char rtm_dst_len;
//		unsigned char rtm_src_len;
//		unsigned char rtm_tos;
//		unsigned char rtm_table;
//		unsigned char rtm_protocol;
//		unsigned char rtm_scope;
//		unsigned char rtm_type;
//		unsigned      rtm_flags;
//	};
//
// The protocol is what ip(8) says too: a route that an administrator set.
func rtmsg(family uint8) []byte {
	return []byte{
		family, 0, 0, 0,
		unix.RT_TABLE_MAIN, unix.RTPROT_BOOT, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST,
		0, 0, 0, 0,
	}
}

// DefaultRoute sends everything that no other route is for to a gateway. The
// link that leads to the gateway must be up, or the answer is ENETUNREACH
// with "Nexthop has invalid gateway".
func DefaultRoute(gateway netip.Addr) nl.Request {
	return nl.Request{
		Type:  unix.RTM_NEWROUTE,
		Flags: create,
		Data: body(rtmsg(family(gateway)), func(ae *netlink.AttributeEncoder) {
			ae.Bytes(unix.RTA_GATEWAY, gateway.AsSlice())
		}),
		What: "default route: add gateway " + gateway.String(),
		Cmd:  "ip route add default via " + gateway.String(),
	}
}
