//go:build linux

package main

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// addr reads an address of /proc/net/route: the 32-bit number, in hexadecimal,
// that its bytes are on this host.
func addr(s string) net.IP {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 4 {
		return nil
	}
	ip := make(net.IP, 4)
	binary.NativeEndian.PutUint32(ip, binary.BigEndian.Uint32(b))
	return ip
}

// packet puts a UDP datagram on the wire behind the back of the host's own
// routing, which would refuse to send some that an attacker sends.
func packet(dev, mac, from, to, text string) error {
	i, err := net.InterfaceByName(dev)
	if err != nil {
		return err
	}
	dst, err := net.ParseMAC(mac)
	if err != nil {
		return err
	}
	src, err := netip.ParseAddrPort(from)
	if err != nil {
		return err
	}
	target, err := netip.ParseAddrPort(to)
	if err != nil {
		return err
	}
	// The kernel writes the Ethernet header (packet(7)).
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ll := &unix.SockaddrLinklayer{
		Protocol: binary.NativeEndian.Uint16([]byte{0x08, 0x00}), // ETH_P_IP, in network order
		Ifindex:  i.Index,
		Halen:    6,
	}
	copy(ll.Addr[:], dst)
	if err := unix.Sendto(fd, datagram(src, target, []byte(text)), 0, ll); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// datagram is an IPv4 packet with a UDP datagram in it (RFC 791, RFC 768).
func datagram(src, dst netip.AddrPort, payload []byte) []byte {
	const ipLen, udpLen = 20, 8
	b := make([]byte, ipLen+udpLen, ipLen+udpLen+len(payload))
	b = append(b, payload...)
	b[0] = 4<<4 | ipLen/4
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	b[8] = 64 // time to live
	b[9] = unix.IPPROTO_UDP
	copy(b[12:], src.Addr().AsSlice())
	copy(b[16:], dst.Addr().AsSlice())
	binary.BigEndian.PutUint16(b[10:], checksum(b[:ipLen]))

	binary.BigEndian.PutUint16(b[ipLen:], src.Port())
	binary.BigEndian.PutUint16(b[ipLen+2:], dst.Port())
	binary.BigEndian.PutUint16(b[ipLen+4:], uint16(udpLen+len(payload)))
	return b // a UDP checksum of 0 is none
}

// checksum is the ones' complement of the ones' complement sum (RFC 1071).
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
