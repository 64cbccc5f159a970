//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// advertise tells the neighbours on a link that they have a router here, for
// so many seconds, by a router advertisement (RFC 4861, 4.2). It says nothing
// else: no prefix, no hop limit, no timers.
//
//	struct icmp6hdr { __u8 icmp6_type, icmp6_code; __sum16 icmp6_cksum; … }
//	struct ra_msg { struct icmp6hdr icmph; __be32 reachable_time, retrans_timer; }
func advertise(dev, seconds string) error {
	i, err := net.InterfaceByName(dev)
	if err != nil {
		return err
	}
	lifetime, err := strconv.ParseUint(seconds, 10, 16)
	if err != nil {
		return err
	}
	from, err := linkLocal(i)
	if err != nil {
		return err
	}
	// The kernel computes an ICMPv6 checksum by itself (raw(7), RFC 3542).
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// A neighbour believes nobody whose message may have come by a router.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet6{Addr: from.As16(), ZoneId: uint32(i.Index)}); err != nil {
		return err
	}
	b := make([]byte, 16, 24)
	b[0] = 134 // NDISC_ROUTER_ADVERTISEMENT
	binary.BigEndian.PutUint16(b[6:], uint16(lifetime))
	b = append(b, 1, 1) // ND_OPT_SOURCE_LL_ADDR, of 8 bytes
	b = append(b, i.HardwareAddr...)
	all := netip.MustParseAddr("ff02::1")
	if err := unix.Sendto(fd, b, 0, &unix.SockaddrInet6{Addr: all.As16(), ZoneId: uint32(i.Index)}); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// linkLocal is a link's address in fe80::/10.
func linkLocal(i *net.Interface) (netip.Addr, error) {
	addrs, err := i.Addrs()
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
			return p.Addr(), nil
		}
	}
	return netip.Addr{}, fmt.Errorf("%s has no link-local address", i.Name)
}
