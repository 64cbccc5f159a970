//go:build linux

package rtnl

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/nl"
)

// ifaddrmsg is an address message's header.
//
//	struct ifaddrmsg {
//		__u8  ifa_family;
//		__u8  ifa_prefixlen;
//		__u8  ifa_flags;
//		__u8  ifa_scope;
//		__u32 ifa_index;
//	};
func ifaddrmsg(family, bits uint8, index uint32) []byte {
	b := make([]byte, unix.SizeofIfAddrmsg)
	b[0], b[1] = family, bits
	binary.NativeEndian.PutUint32(b[4:], index)
	return b
}

func family(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// Address gives a link an address, and with it the route to the prefix it is
// in. EEXIST when the link has it already.
//
// An IPv4 address is sent twice, as ip(8) does: IFA_LOCAL is the link's own,
// IFA_ADDRESS the peer's, and they differ on point-to-point links alone. A
// broadcast address goes along where the prefix has one to spare: in a /31 the
// last address is the other host (RFC 3021), and in a /32 the link's own. An
// IPv6 address goes without duplicate address detection, which would keep it
// tentative for over a second: the lease has made sure of it.
func Address(index uint32, dev string, p netip.Prefix) nl.Request {
	addr := p.Addr().AsSlice()
	cmd := fmt.Sprintf("ip addr add %s dev %s", p, dev)
	var advice []nl.Advice
	switch {
	case p.Addr().Is6():
		cmd += " nodad"
		advice = []nl.Advice{
			{Errno: unix.EACCES, Text: "IPv6 is disabled here: net.ipv6.conf." + dev + ".disable_ipv6"},
			{Errno: unix.EINVAL, Text: "IPv6 takes a link with an MTU of 1280 or more"},
		}
	case hasBroadcast(p):
		cmd += " broadcast +"
	}
	return nl.Request{
		Type:  unix.RTM_NEWADDR,
		Flags: create,
		Data: body(ifaddrmsg(family(p.Addr()), uint8(p.Bits()), index), func(ae *netlink.AttributeEncoder) {
			if p.Addr().Is4() {
				ae.Bytes(unix.IFA_LOCAL, addr)
				ae.Bytes(unix.IFA_ADDRESS, addr)
				if hasBroadcast(p) {
					ae.Bytes(unix.IFA_BROADCAST, broadcast(p).AsSlice())
				}
			} else {
				ae.Bytes(unix.IFA_ADDRESS, addr)
				ae.Uint32(unix.IFA_FLAGS, unix.IFA_F_NODAD)
			}
		}),
		What:   fmt.Sprintf("link %s: add address %s", dev, p),
		Cmd:    cmd,
		Advice: advice,
	}
}

func hasBroadcast(p netip.Prefix) bool { return p.Addr().Is4() && p.Bits() <= 30 }

// broadcast is the last address of an IPv4 prefix.
func broadcast(p netip.Prefix) netip.Addr {
	a := p.Addr().As4()
	host := ^uint32(0) >> p.Bits()
	binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(a[:])|host)
	return netip.AddrFrom4(a)
}

// GetAddresses asks for the addresses of every link: of one family
// (unix.AF_INET, unix.AF_INET6) or of all (unix.AF_UNSPEC). (A request for one
// link alone takes NETLINK_GET_STRICT_CHK, Linux 4.20.)
func GetAddresses(family uint8) nl.Request {
	r := nl.Request{
		Type:  unix.RTM_GETADDR,
		Flags: netlink.Request | netlink.Dump,
		Data:  ifaddrmsg(family, 0, 0),
		What:  "addresses: list",
		Cmd:   "ip addr show",
	}
	switch family {
	case unix.AF_INET:
		r.Cmd = "ip -4 addr show"
	case unix.AF_INET6:
		r.Cmd = "ip -6 addr show"
	}
	return r
}

// LinkAddress is an address that a link has.
type LinkAddress struct {
	Index  uint32 // the link's
	Prefix netip.Prefix
	Scope  uint8  // RT_SCOPE_LINK and its like, linux/rtnetlink.h
	Flags  uint32 // IFA_F_PERMANENT and its like, linux/if_addr.h
}

// IsTentative tells of an IPv6 address that can't be used yet, as duplicate
// address detection is not through.
func (a LinkAddress) IsTentative() bool { return a.Flags&unix.IFA_F_TENTATIVE != 0 }

// IsDuplicate tells of an IPv6 address that can't be used, as it was found to
// be somebody else's. It stays tentative.
func (a LinkAddress) IsDuplicate() bool { return a.Flags&unix.IFA_F_DADFAILED != 0 }

// IsPermanent tells of an address that has no lifetime: not one by DHCP or by
// a router's advertisement.
func (a LinkAddress) IsPermanent() bool { return a.Flags&unix.IFA_F_PERMANENT != 0 }

// Addresses sends GetAddresses and reads the answers.
func Addresses(c *nl.Conn, family uint8) ([]LinkAddress, error) {
	r := GetAddresses(family)
	answers, err := c.Query(r)
	if err != nil {
		return nil, err
	}
	var all []LinkAddress
	for _, m := range answers {
		a, err := ParseAddress(m.Data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.What, err)
		}
		all = append(all, a)
	}
	return all, nil
}

// ParseAddress reads the data of an RTM_NEWADDR message.
func ParseAddress(b []byte) (LinkAddress, error) {
	if len(b) < unix.SizeofIfAddrmsg {
		return LinkAddress{}, fmt.Errorf("an address message of %d bytes", len(b))
	}
	a := LinkAddress{
		Index: binary.NativeEndian.Uint32(b[4:]),
		Scope: b[3],
		Flags: uint32(b[2]), // the first 8 of those in IFA_FLAGS
	}
	ad, err := netlink.NewAttributeDecoder(b[unix.SizeofIfAddrmsg:])
	if err != nil {
		return LinkAddress{}, err
	}
	var local, address netip.Addr
	for ad.Next() {
		switch ad.Type() {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(ad.Bytes())
		case unix.IFA_ADDRESS:
			address, _ = netip.AddrFromSlice(ad.Bytes())
		case unix.IFA_FLAGS:
			a.Flags = ad.Uint32()
		}
	}
	if !local.IsValid() {
		local = address // IPv6 sends no IFA_LOCAL
	}
	if ad.Err() == nil && (!local.IsValid() || int(b[1]) > local.BitLen()) {
		return LinkAddress{}, fmt.Errorf("an address message without an address")
	}
	a.Prefix = netip.PrefixFrom(local, int(b[1]))
	return a, ad.Err()
}
