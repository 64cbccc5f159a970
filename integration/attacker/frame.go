//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// What stands in an Ethernet header about the rest (linux/if_ether.h).
const (
	ethIPv4 = 0x0800
	ethARP  = 0x0806
	ethIPv6 = 0x86dd
)

const (
	arpRequest = 1
	arpReply   = 2
)

// frame is what is sent, to the last byte (packet(7), SOCK_RAW).
type frame struct {
	dst, src net.HardwareAddr
	typ      uint16
	payload  []byte
}

func (f frame) send(index int) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	defer unix.Close(fd)
	b := slices.Concat(f.dst, f.src)
	b = binary.BigEndian.AppendUint16(b, f.typ)
	b = append(b, f.payload...)
	if err := unix.Sendto(fd, b, 0, &unix.SockaddrLinklayer{Ifindex: index}); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// arp is a message about Ethernet and IPv4 (RFC 826).
func arp(op uint16, senderMAC net.HardwareAddr, sender netip.Addr, targetMAC net.HardwareAddr, target netip.Addr) []byte {
	b := []byte{0, 1, ethIPv4 >> 8, ethIPv4 & 0xff, 6, 4}
	b = binary.BigEndian.AppendUint16(b, op)
	return slices.Concat(b, senderMAC, sender.AsSlice(), targetMAC, target.AsSlice())
}

// udp is an IP packet with a datagram (RFC 768), and its Ethernet type.
func udp(src, dst netip.AddrPort, text []byte) (typ uint16, packet []byte) {
	d := binary.BigEndian.AppendUint16(nil, src.Port())
	d = binary.BigEndian.AppendUint16(d, dst.Port())
	d = binary.BigEndian.AppendUint16(d, uint16(8+len(text)))
	d = append(append(d, 0, 0), text...)
	binary.BigEndian.PutUint16(d[6:], sum(pseudo(src.Addr(), dst.Addr(), unix.IPPROTO_UDP, len(d)), d))
	if src.Addr().Is4() {
		return ethIPv4, ipv4(src.Addr(), dst.Addr(), unix.IPPROTO_UDP, d)
	}
	return ethIPv6, ipv6(src.Addr(), dst.Addr(), unix.IPPROTO_UDP, 64, d)
}

// ipv4 is a packet of RFC 791.
func ipv4(src, dst netip.Addr, proto uint8, payload []byte) []byte {
	const length = 20
	b := make([]byte, length)
	b[0] = 4<<4 | length/4
	binary.BigEndian.PutUint16(b[2:], uint16(length+len(payload)))
	b[8], b[9] = 64, proto
	copy(b[12:], src.AsSlice())
	copy(b[16:], dst.AsSlice())
	binary.BigEndian.PutUint16(b[10:], sum(b))
	return append(b, payload...)
}

// ipv6 is a packet of RFC 8200.
func ipv6(src, dst netip.Addr, next, hops uint8, payload []byte) []byte {
	b := []byte{6 << 4, 0, 0, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	b = append(b, next, hops)
	return slices.Concat(b, src.AsSlice(), dst.AsSlice(), payload)
}

// icmp6 is a packet with a message whose checksum is yet to be set. Neighbour
// discovery takes a hop limit of 255 only (RFC 4861), and knows no difference
// when a destination options header (RFC 8200, 4.6) with padding in it comes
// before.
func icmp6(src, dst netip.Addr, msg []byte, hidden bool) []byte {
	binary.BigEndian.PutUint16(msg[2:], sum(pseudo(src, dst, unix.IPPROTO_ICMPV6, len(msg)), msg))
	next := uint8(unix.IPPROTO_ICMPV6)
	if hidden {
		const padN = 1
		msg = append([]byte{next, 0, padN, 4, 0, 0, 0, 0}, msg...)
		next = unix.IPPROTO_DSTOPTS
	}
	return ipv6(src, dst, next, 255, msg)
}

// Messages and options of RFC 4861.
const (
	typeRouterAdvertisement    = 134
	typeNeighbourSolicitation  = 135
	typeNeighbourAdvertisement = 136
	typeRedirect               = 137

	optionSourceMAC = 1
	optionTargetMAC = 2
	optionPrefix    = 3
)

func neighbourAdvertisement(target netip.Addr, mac net.HardwareAddr) []byte {
	const override = 1 << 5
	b := []byte{typeNeighbourAdvertisement, 0, 0, 0, override, 0, 0, 0}
	return slices.Concat(b, target.AsSlice(), []byte{optionTargetMAC, 1}, mac)
}

func neighbourSolicitation(target netip.Addr, mac net.HardwareAddr) []byte {
	b := []byte{typeNeighbourSolicitation, 0, 0, 0, 0, 0, 0, 0}
	return slices.Concat(b, target.AsSlice(), []byte{optionSourceMAC, 1}, mac)
}

// routerAdvertisement makes its sender a router for half an hour, and has
// everyone take an address of the prefix.
func routerAdvertisement(mac net.HardwareAddr, prefix netip.Prefix) []byte {
	const onLink, autonomous = 1 << 7, 1 << 6
	b := []byte{typeRouterAdvertisement, 0, 0, 0, 64, 0}
	b = binary.BigEndian.AppendUint16(b, 1800) // seconds
	b = append(b, make([]byte, 8)...)          // reachable and retransmission time: unspecified
	b = slices.Concat(b, []byte{optionSourceMAC, 1}, mac)
	b = append(b, optionPrefix, 4, uint8(prefix.Bits()), onLink|autonomous)
	b = binary.BigEndian.AppendUint32(b, 3600) // valid
	b = binary.BigEndian.AppendUint32(b, 1800) // preferred
	b = append(b, make([]byte, 4)...)
	return append(b, prefix.Masked().Addr().AsSlice()...)
}

func redirect(target, to netip.Addr) []byte {
	b := []byte{typeRedirect, 0, 0, 0, 0, 0, 0, 0}
	return slices.Concat(b, target.AsSlice(), to.AsSlice())
}

// pseudo is the header that checksums of UDP and ICMPv6 begin with (RFC 768,
// RFC 8200).
func pseudo(src, dst netip.Addr, proto uint8, length int) []byte {
	b := slices.Concat(src.AsSlice(), dst.AsSlice())
	return append(b, 0, proto, byte(length>>8), byte(length))
}

// sum is the Internet checksum (RFC 1071). It is never 0, which would mean
// that there is none.
func sum(parts ...[]byte) uint16 {
	total := uint32(0)
	for _, b := range parts {
		if len(b)%2 == 1 {
			b = append(slices.Clone(b), 0)
		}
		for i := 0; i < len(b); i += 2 {
			total += uint32(binary.BigEndian.Uint16(b[i:]))
		}
	}
	for total>>16 != 0 {
		total = total&0xffff + total>>16
	}
	if s := ^uint16(total); s != 0 {
		return s
	}
	return 0xffff
}
