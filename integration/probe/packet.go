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
	protocol := []byte{0x08, 0x00} // ETH_P_IP
	if src.Addr().Is6() {
		protocol = []byte{0x86, 0xdd} // ETH_P_IPV6
	}
	ll := &unix.SockaddrLinklayer{
		Protocol: binary.NativeEndian.Uint16(protocol), // in network order
		Ifindex:  i.Index,
		Halen:    6,
	}
	copy(ll.Addr[:], dst)
	if err := unix.Sendto(fd, datagram(src, target, []byte(text)), 0, ll); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// frame puts an Ethernet frame on the wire as it is, given in hexadecimal.
func frame(dev, text string) error {
	i, err := net.InterfaceByName(dev)
	if err != nil {
		return err
	}
	b, err := hex.DecodeString(text)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, b, 0, &unix.SockaddrLinklayer{Ifindex: i.Index}); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// datagram is an IPv4 or IPv6 packet with a UDP datagram in it.
func datagram(src, dst netip.AddrPort, payload []byte) []byte {
	if src.Addr().Is6() {
		return datagram6(src, dst, payload)
	}
	return datagram4(src, dst, payload)
}

// datagram6 has a checksum, which is a must there (RFC 8200, 8.1), over a
// pseudo-header too: addresses, length and protocol.
func datagram6(src, dst netip.AddrPort, payload []byte) []byte {
	const ipLen, udpLen = 40, 8
	b := make([]byte, ipLen+udpLen, ipLen+udpLen+len(payload)+1)
	b = append(b, payload...)
	size := uint16(udpLen + len(payload))
	copy(b[8:], src.Addr().AsSlice())
	copy(b[24:], dst.Addr().AsSlice())
	binary.BigEndian.PutUint16(b[ipLen:], src.Port())
	binary.BigEndian.PutUint16(b[ipLen+2:], dst.Port())
	binary.BigEndian.PutUint16(b[ipLen+4:], size)

	// The pseudo-header stands where the header does, but for its first 8
	// bytes; a byte of zero makes the length even.
	binary.BigEndian.PutUint16(b[4:], size)
	b[7] = unix.IPPROTO_UDP
	if len(b)%2 != 0 {
		b = append(b, 0)
	}
	sum := checksum(b)
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(b[ipLen+6:], sum)

	b[0] = 6 << 4
	b[6], b[7] = unix.IPPROTO_UDP, 64 // next header, hop limit
	return b[:ipLen+int(size)]
}

// datagram4 is an IPv4 packet with a UDP datagram in it (RFC 791, RFC 768).
func datagram4(src, dst netip.AddrPort, payload []byte) []byte {
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
