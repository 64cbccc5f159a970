//go:build linux

package rtnl

import (
	"errors"
	"fmt"
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
// with "Nexthop has invalid gateway" (IPv4), or EHOSTUNREACH (IPv6).
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

// GetRoute asks which way a packet to an address would take. It is one lookup,
// with every rule and table in it, and no list. ENETUNREACH when there is no
// way.
func GetRoute(dst netip.Addr) nl.Request {
	header := make([]byte, unix.SizeofRtMsg)
	header[0], header[1] = family(dst), uint8(dst.BitLen())
	return nl.Request{
		Type:  unix.RTM_GETROUTE,
		Flags: netlink.Request,
		Data: body(header, func(ae *netlink.AttributeEncoder) {
			ae.Bytes(unix.RTA_DST, dst.AsSlice())
		}),
		What: "route to " + dst.String() + ": look up",
		Cmd:  "ip route get " + dst.String(),
	}
}

// Route is the way that a packet takes.
type Route struct {
	Index   uint32     // of the link that it leaves by
	Gateway netip.Addr // of RTA_GATEWAY; invalid where the destination is on the link

	Local bool // the address is the host's own: RTN_LOCAL

	// MTU is the route's own (RTAX_MTU): that which an administrator set, or a
	// router has told of for this one destination. 0 for that of the link.
	MTU uint32
}

// ErrNoRoute is the answer for an address that no way leads to.
var ErrNoRoute = errors.New("no route")

// RouteTo sends GetRoute and reads the answer; ErrNoRoute for ENETUNREACH, for
// what a route of type unreachable, prohibit or blackhole answers, and where
// the kernel has no such family.
func RouteTo(c *nl.Conn, dst netip.Addr) (Route, error) {
	r := GetRoute(dst)
	answers, err := c.Query(r)
	for _, none := range []unix.Errno{
		unix.ENETUNREACH,
		unix.EHOSTUNREACH, unix.EACCES, unix.EINVAL, // fib_props, net/ipv4/fib_semantics.c
		unix.EOPNOTSUPP, unix.EAFNOSUPPORT,
	} {
		if errors.Is(err, none) {
			return Route{}, ErrNoRoute
		}
	}
	if err != nil {
		return Route{}, err
	}
	if len(answers) == 0 {
		return Route{}, fmt.Errorf("%s: no answer", r.What)
	}
	way, err := ParseRoute(answers[0].Data)
	if err != nil {
		return Route{}, fmt.Errorf("%s: %w", r.What, err)
	}
	return way, nil
}

// ParseRoute reads the data of an RTM_NEWROUTE message.
func ParseRoute(b []byte) (Route, error) {
	if len(b) < unix.SizeofRtMsg {
		return Route{}, fmt.Errorf("a route message of %d bytes", len(b))
	}
	r := Route{Local: b[7] == unix.RTN_LOCAL} // rtm_type
	ad, err := netlink.NewAttributeDecoder(b[unix.SizeofRtMsg:])
	if err != nil {
		return Route{}, err
	}
	for ad.Next() {
		switch ad.Type() {
		case unix.RTA_OIF:
			r.Index = ad.Uint32()
		case unix.RTA_GATEWAY:
			a, ok := netip.AddrFromSlice(ad.Bytes())
			if !ok {
				return Route{}, fmt.Errorf("a gateway of %d bytes", len(ad.Bytes()))
			}
			r.Gateway = a
		case unix.RTA_METRICS:
			ad.Nested(func(ad *netlink.AttributeDecoder) error {
				for ad.Next() {
					if ad.Type() == unix.RTAX_MTU {
						r.MTU = ad.Uint32()
					}
				}
				return nil
			})
		}
	}
	if err := ad.Err(); err != nil {
		return Route{}, err
	}
	return r, nil
}
