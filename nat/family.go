//go:build linux

package nat

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Family is a family of nf_tables that has a table of ours: a number of
// linux/netfilter.h, NFPROTO_….
type Family uint8

// The families: what is routed, and what a bridge passes on.
const (
	IPv4   Family = unix.NFPROTO_IPV4
	IPv6   Family = unix.NFPROTO_IPV6
	Bridge Family = unix.NFPROTO_BRIDGE
)

// Families are all of them.
var Families = [...]Family{IPv4, IPv6, Bridge}

// String is the family as nft(8) names it: "ip".
func (f Family) String() string {
	switch f {
	case IPv4:
		return "ip"
	case IPv6:
		return "ip6"
	case Bridge:
		return "bridge"
	}
	return fmt.Sprint("family ", uint8(f))
}

// FamilyOf is the family of an address.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// layer is what the two that route differ in.
type layer struct {
	address      datatype
	saddr, daddr uint32 // where the addresses stand in the header
	loopback     []byte // the prefix of addresses that never leave a host
	loopbackText string
	options      string // what of the kernel goes by the family's name
}

func (f Family) layer() layer {
	if f == IPv6 {
		return layer{
			// RFC 8200.
			address: ipv6Addr, saddr: 8, daddr: 24,
			loopback:     []byte{15: 1},
			loopbackText: "::1",
			options:      "IPV6",
		}
	}
	return layer{
		// RFC 791. The prefix is one byte long, so one byte is looked at.
		address: ipv4Addr, saddr: 12, daddr: 16,
		loopback:     []byte{127},
		loopbackText: "127.0.0.0/8",
		options:      "IPV4",
	}
}

// size is an address's bytes.
func (l layer) size() uint32 { return uint32(l.address.length) }

// behind is the register behind an address in register 1.
func (l layer) behind() uint32 { return firstWord + l.size()/4 }

// firstWord is the first of the sixteen registers of 4 bytes, NFT_REG32_00: it
// begins where register 1 does.
const firstWord = 8
