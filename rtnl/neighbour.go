//go:build linux

package rtnl

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/nl"
)

// ndmsg is a neighbour message's header.
//
//	struct ndmsg {
//		__u8  ndm_family;
//		__u8  ndm_pad1;
//		__u16 ndm_pad2;
//		__s32 ndm_ifindex;
//		__u16 ndm_state;
//		__u8  ndm_flags;
//		__u8  ndm_type;
//	};
func ndmsg(family uint8, index uint32, flags uint8) []byte {
	b := make([]byte, unix.SizeofNdMsg)
	b[0] = family
	binary.NativeEndian.PutUint32(b[4:], index)
	b[10] = flags
	return b
}

// Probe has the kernel ask by a link, now, who has an address: by ARP, or by
// neighbour solicitation in IPv6 (neigh_add with NTF_USE, net/core/neighbour.c).
// The answer is in NeighbourOf, later.
//
// It asks only if it has to: of an entry that is NUD_REACHABLE nothing comes,
// and of one that is NUD_STALE a question after five seconds. From one that is
// NUD_PERMANENT it takes just that (Linux 5.16). Solicit sees to all of them.
//
// Nothing is asked by a link that has no address of the family, for IPv6 one
// that is link-local and not tentative (ndisc_send_ns, net/ipv6/ndisc.c), and
// what is asked by a link without a carrier gets nowhere: the entry is
// NUD_INCOMPLETE all the same, and NUD_FAILED after three seconds.
func Probe(index uint32, dev string, a netip.Addr) nl.Request {
	return nl.Request{
		Type:  unix.RTM_NEWNEIGH,
		Flags: change | netlink.Create | netlink.Replace,
		Data: body(ndmsg(family(a), index, unix.NTF_USE), func(ae *netlink.AttributeEncoder) {
			ae.Bytes(unix.NDA_DST, a.AsSlice())
		}),
		What: fmt.Sprintf("link %s: ask who has %s", dev, a),
		Cmd:  fmt.Sprintf("ip neigh replace %s dev %s nud none use", a, dev),
		Advice: []nl.Advice{
			{Errno: unix.ENOBUFS, Text: "the host knows as many neighbours as it may: net." + familyName(a) + ".neigh.default.gc_thresh3"},
		},
	}
}

// familyName is an address's family as sysctl(8) names it.
func familyName(a netip.Addr) string {
	if a.Is4() {
		return "ipv4"
	}
	return "ipv6"
}

// DeleteNeighbour forgets what a link knows of an address. ENOENT when that is
// nothing. Packets that wait for the neighbour to answer are dropped.
func DeleteNeighbour(index uint32, dev string, a netip.Addr) nl.Request {
	return nl.Request{
		Type:  unix.RTM_DELNEIGH,
		Flags: change,
		Data: body(ndmsg(family(a), index, 0), func(ae *netlink.AttributeEncoder) {
			ae.Bytes(unix.NDA_DST, a.AsSlice())
		}),
		What: fmt.Sprintf("link %s: forget neighbour %s", dev, a),
		Cmd:  fmt.Sprintf("ip neigh del %s dev %s", a, dev),
	}
}

// GetNeighbour asks for what a link knows of an address. ENOENT when that is
// nothing. It takes Linux 5.0.
func GetNeighbour(index uint32, dev string, a netip.Addr) nl.Request {
	return nl.Request{
		Type:  unix.RTM_GETNEIGH,
		Flags: netlink.Request,
		Data: body(ndmsg(family(a), index, 0), func(ae *netlink.AttributeEncoder) {
			ae.Bytes(unix.NDA_DST, a.AsSlice())
		}),
		What:   fmt.Sprintf("link %s: look up neighbour %s", dev, a),
		Cmd:    fmt.Sprintf("ip neigh get %s dev %s", a, dev),
		Advice: since50,
	}
}

// GetForwarding asks a bridge which port an Ethernet address is behind. ENOENT
// when it doesn't know. It takes Linux 5.0. A bridge that filters VLANs has
// its entries by VLAN, and this asks for those of none.
func GetForwarding(index uint32, bridge string, mac net.HardwareAddr) nl.Request {
	return nl.Request{
		Type:  unix.RTM_GETNEIGH,
		Flags: netlink.Request,
		Data: body(ndmsg(unix.AF_BRIDGE, 0, 0), func(ae *netlink.AttributeEncoder) {
			ae.Bytes(unix.NDA_LLADDR, mac)
			ae.Uint32(unix.NDA_MASTER, index)
		}),
		What:   fmt.Sprintf("bridge %s: look up the port to %s", bridge, mac),
		Cmd:    fmt.Sprintf("bridge fdb get %s br %s", mac, bridge),
		Advice: since50,
	}
}

var since50 = []nl.Advice{
	{Errno: unix.EOPNOTSUPP, Text: "a kernel before Linux 5.0 lists all and looks up none"},
}

// Neighbour is what a link knows of an address, or a bridge of an Ethernet
// address.
type Neighbour struct {
	Index uint32           // the link's; of a bridge's entry the port's
	Addr  netip.Addr       // not of a bridge's entry
	MAC   net.HardwareAddr // nil while nobody has answered
	State uint16           // NUD_REACHABLE and its like, linux/neighbour.h
}

// IsValid tells whether somebody has answered, or has spoken unasked, and not
// been found silent since (NUD_VALID, net/neighbour.h).
func (n Neighbour) IsValid() bool {
	const valid = unix.NUD_PERMANENT | unix.NUD_NOARP | unix.NUD_REACHABLE |
		unix.NUD_PROBE | unix.NUD_STALE | unix.NUD_DELAY
	return n.State&valid != 0
}

// IsSet tells whether an administrator made the entry: it is never asked about.
func (n Neighbour) IsSet() bool { return n.State&(unix.NUD_PERMANENT|unix.NUD_NOARP) != 0 }

// ErrNoNeighbour is the answer for an address that nothing is known of.
var ErrNoNeighbour = errors.New("no such neighbour")

// NeighbourOf sends GetNeighbour and reads the answer; ErrNoNeighbour for
// ENOENT.
func NeighbourOf(c *nl.Conn, index uint32, dev string, a netip.Addr) (Neighbour, error) {
	return neighbour(c, GetNeighbour(index, dev, a))
}

// PortOf sends GetForwarding and gives the index of the port, or of the bridge
// if the address is its own; ErrNoNeighbour for ENOENT.
func PortOf(c *nl.Conn, index uint32, bridge string, mac net.HardwareAddr) (uint32, error) {
	n, err := neighbour(c, GetForwarding(index, bridge, mac))
	return n.Index, err
}

func neighbour(c *nl.Conn, r nl.Request) (Neighbour, error) {
	answers, err := c.Query(r)
	if errors.Is(err, unix.ENOENT) {
		return Neighbour{}, ErrNoNeighbour
	}
	if err != nil {
		return Neighbour{}, err
	}
	if len(answers) == 0 {
		return Neighbour{}, fmt.Errorf("%s: no answer", r.What)
	}
	n, err := ParseNeighbour(answers[0].Data)
	if err != nil {
		return Neighbour{}, fmt.Errorf("%s: %w", r.What, err)
	}
	return n, nil
}

// Solicit sends Probe with nothing known of the address before, so that who
// is in NeighbourOf afterwards has spoken since. What an administrator set is
// left alone: it is there, and valid.
func Solicit(c *nl.Conn, index uint32, dev string, a netip.Addr) error {
	n, err := NeighbourOf(c, index, dev, a)
	switch {
	case errors.Is(err, ErrNoNeighbour):
	case err != nil:
		return err
	case n.IsSet():
		return nil
	default:
		if err := c.Do(DeleteNeighbour(index, dev, a)); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return c.Do(Probe(index, dev, a))
}

// ParseNeighbour reads the data of an RTM_NEWNEIGH message.
func ParseNeighbour(b []byte) (Neighbour, error) {
	if len(b) < unix.SizeofNdMsg {
		return Neighbour{}, fmt.Errorf("a neighbour message of %d bytes", len(b))
	}
	n := Neighbour{
		Index: binary.NativeEndian.Uint32(b[4:]),
		State: binary.NativeEndian.Uint16(b[8:]),
	}
	ad, err := netlink.NewAttributeDecoder(b[unix.SizeofNdMsg:])
	if err != nil {
		return Neighbour{}, err
	}
	for ad.Next() {
		switch ad.Type() {
		case unix.NDA_DST:
			a, ok := netip.AddrFromSlice(ad.Bytes())
			if !ok {
				return Neighbour{}, fmt.Errorf("an address of %d bytes", len(ad.Bytes()))
			}
			n.Addr = a
		case unix.NDA_LLADDR:
			n.MAC = bytes.Clone(ad.Bytes())
		}
	}
	if err := ad.Err(); err != nil {
		return Neighbour{}, err
	}
	return n, nil
}
