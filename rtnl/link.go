//go:build linux

package rtnl

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/nl"
)

// LoopbackIndex is the index of lo in every network namespace
// (LOOPBACK_IFINDEX, linux/net_namespace.h).
const LoopbackIndex = 1

// MaxName is the longest name of a link, in bytes: IFNAMSIZ less the NUL.
const MaxName = unix.IFNAMSIZ - 1

// MaxAlias is the longest alias of a link, in bytes: IFALIASZ less the NUL.
const MaxAlias = 255

// skipStats is RTEXT_FILTER_SKIP_STATS in linux/rtnetlink.h: an answer without
// the counters of IPv6, a fifth of it, and of a network card's virtual
// functions. The link's own come all the same.
const skipStats = 1 << 3

// Up brings a link up. On lo the kernel adds 127.0.0.1/8 and ::1/128 by
// itself.
func Up(index uint32, name string) nl.Request {
	return nl.Request{
		Type:  unix.RTM_NEWLINK,
		Flags: change,
		Data:  ifinfomsg(index, unix.IFF_UP),
		What:  "link " + name + ": set up",
		Cmd:   "ip link set dev " + name + " up",
	}
}

// Settings of a link's IPv4 side that IFLA_INET_CONF sets, by the numbers of
// linux/ip.h (IPV4_DEVCONF_…), with the names that sysctl(8) has for them.
const (
	ARPNotify     Setting = 22
	RouteLocalnet Setting = 26
)

// Setting is an IPv4 setting of a link.
type Setting uint16

// String is the setting's name below net.ipv4.conf.LINK.
func (s Setting) String() string {
	switch s {
	case ARPNotify:
		return "arp_notify"
	case RouteLocalnet:
		return "route_localnet"
	}
	return fmt.Sprint("devconf ", uint16(s))
}

// Set turns an IPv4 setting of a link on, as a write to
// /proc/sys/net/ipv4/conf would, without a /proc (inet_set_link_af,
// net/ipv4/devinet.c).
func Set(index uint32, name string, s Setting) nl.Request {
	return nl.Request{
		Type:  unix.RTM_NEWLINK,
		Flags: change,
		Data: body(ifinfomsg(index, 0), func(ae *netlink.AttributeEncoder) {
			nested(ae, unix.IFLA_AF_SPEC, func(ae *netlink.AttributeEncoder) {
				nested(ae, unix.AF_INET, func(ae *netlink.AttributeEncoder) {
					nested(ae, unix.IFLA_INET_CONF, func(ae *netlink.AttributeEncoder) {
						ae.Uint32(uint16(s), 1)
					})
				})
			})
		}),
		What: fmt.Sprintf("link %s: set %s", name, s),
		Cmd:  fmt.Sprintf("sysctl -w net.ipv4.conf.%s.%s=1", name, s),
	}
}

// AddrGenMode is how a link comes by its link-local IPv6 address (enum
// in6_addr_gen_mode, linux/if_link.h).
type AddrGenMode uint8

// EUI64 makes one of the hardware address, when the link comes to be up, and
// it is tentative for over a second. With None there is no other than what
// Address gives.
const (
	EUI64 AddrGenMode = 0
	None  AddrGenMode = 1
)

// String is the mode in ip(8)'s words.
func (m AddrGenMode) String() string {
	switch m {
	case EUI64:
		return "eui64"
	case None:
		return "none"
	}
	return fmt.Sprint(uint8(m))
}

// SetAddrGenMode sets that, the one IPv6 setting that a link's message can
// (inet6_set_link_af, net/ipv6/addrconf.c). An address that is there stays.
// EAFNOSUPPORT where the link has no IPv6: its MTU is less than 1280.
func SetAddrGenMode(index uint32, name string, mode AddrGenMode) nl.Request {
	return nl.Request{
		Type:  unix.RTM_NEWLINK,
		Flags: change,
		Data: body(ifinfomsg(index, 0), func(ae *netlink.AttributeEncoder) {
			nested(ae, unix.IFLA_AF_SPEC, func(ae *netlink.AttributeEncoder) {
				nested(ae, unix.AF_INET6, func(ae *netlink.AttributeEncoder) {
					ae.Uint8(unix.IFLA_INET6_ADDR_GEN_MODE, uint8(mode))
				})
			})
		}),
		What: fmt.Sprintf("link %s: set addrgenmode %s", name, mode),
		Cmd:  fmt.Sprintf("ip link set dev %s addrgenmode %s", name, mode),
	}
}

// Announce makes a link tell its neighbours its addresses: with ARPNotify on,
// the kernel sends a gratuitous ARP request for each when the link's hardware
// address is set, also to what it was (inetdev_event, net/ipv4/devinet.c).
func Announce(index uint32, name string, mac net.HardwareAddr) nl.Request {
	return nl.Request{
		Type:  unix.RTM_NEWLINK,
		Flags: change,
		Data: body(ifinfomsg(index, 0), func(ae *netlink.AttributeEncoder) {
			ae.Bytes(unix.IFLA_ADDRESS, mac)
		}),
		What: "link " + name + ": announce its addresses",
		Cmd:  "ip link set dev " + name + " address " + mac.String(),
	}
}

// SetAlias gives a link a text that people and programs can read,
// MaxAlias bytes at most. IFLA_IFALIAS is not read while a link is made, so
// it takes a message of its own.
func SetAlias(name, alias string) nl.Request {
	return nl.Request{
		Type:  unix.RTM_NEWLINK,
		Flags: change,
		Data: body(ifinfomsg(0, 0), func(ae *netlink.AttributeEncoder) {
			ae.String(unix.IFLA_IFNAME, name)
			ae.Bytes(unix.IFLA_IFALIAS, []byte(alias))
		}),
		What: "link " + name + ": set alias",
		Cmd:  "ip link set dev " + name + " alias " + quote(alias),
	}
}

// DeleteLink removes a link, and with one end of a veth the other. The call
// returns after RCU grace periods: 20 ms and more.
func DeleteLink(index uint32, name string) nl.Request {
	return nl.Request{
		Type:  unix.RTM_DELLINK,
		Flags: change,
		Data:  ifinfomsg(index, 0),
		What:  "link " + name + ": delete",
		Cmd:   "ip link del dev " + name,
	}
}

// GetLink asks for one link by its name. ENODEV when there is none.
func GetLink(name string) nl.Request {
	return nl.Request{
		Type:  unix.RTM_GETLINK,
		Flags: netlink.Request,
		Data: body(ifinfomsg(0, 0), func(ae *netlink.AttributeEncoder) {
			ae.Uint32(unix.IFLA_EXT_MASK, skipStats)
			ae.String(unix.IFLA_IFNAME, name)
		}),
		What: "link " + name + ": look up",
		Cmd:  "ip -d link show dev " + name,
	}
}

// GetLinkIndex asks for one link by its index. ENODEV when there is none.
func GetLinkIndex(index uint32) nl.Request {
	return nl.Request{
		Type:  unix.RTM_GETLINK,
		Flags: netlink.Request,
		Data: body(ifinfomsg(index, 0), func(ae *netlink.AttributeEncoder) {
			ae.Uint32(unix.IFLA_EXT_MASK, skipStats)
		}),
		What: fmt.Sprintf("link with index %d: look up", index),
		Cmd:  fmt.Sprintf("ip -d link show | grep ^%d:", index),
	}
}

// GetLinks asks for every link.
func GetLinks() nl.Request {
	return nl.Request{
		Type:  unix.RTM_GETLINK,
		Flags: netlink.Request | netlink.Dump,
		Data: body(ifinfomsg(0, 0), func(ae *netlink.AttributeEncoder) {
			ae.Uint32(unix.IFLA_EXT_MASK, skipStats)
		}),
		What: "links: list",
		Cmd:  "ip -d link show",
	}
}

// GetPorts asks for the links that are ports of a bridge. A kernel before
// Linux 4.4 answers with all links.
func GetPorts(master uint32, bridge string) nl.Request {
	return nl.Request{
		Type:  unix.RTM_GETLINK,
		Flags: netlink.Request | netlink.Dump,
		Data: body(ifinfomsg(0, 0), func(ae *netlink.AttributeEncoder) {
			ae.Uint32(unix.IFLA_EXT_MASK, skipStats)
			ae.Uint32(unix.IFLA_MASTER, master)
		}),
		What: "bridge " + bridge + ": list its ports",
		Cmd:  "ip -d link show master " + bridge,
	}
}

// Link is what the kernel tells of a link.
type Link struct {
	Index  uint32
	Flags  uint32 // IFF_UP and its like, linux/if.h
	Name   string
	Alias  string
	Group  uint32 // a number that somebody gave it, 0 by default
	Kind   string // IFLA_INFO_KIND: "bridge", "veth"; empty for hardware
	MAC    net.HardwareAddr
	MTU    uint32
	Master uint32 // index of the bridge that it is a port of, 0 for none

	// PortState is the bridge port's state (BR_STATE_…, linux/if_bridge.h).
	// Only a forwarding port passes frames.
	PortState uint8
}

// Forwarding is BR_STATE_FORWARDING in linux/if_bridge.h.
const Forwarding = 3

// IsUp tells whether the link has been set up.
func (l Link) IsUp() bool { return l.Flags&unix.IFF_UP != 0 }

// IsRunning tells whether the link has a carrier and the kernel has noticed:
// what is sent by it leaves (IFF_RUNNING, linux/if.h).
func (l Link) IsRunning() bool { return l.Flags&unix.IFF_RUNNING != 0 }

// ErrNoLink is the answer for a link that isn't there.
var ErrNoLink = errors.New("no such link")

// Get sends GetLink or GetLinkIndex and reads the answer; ErrNoLink for ENODEV.
func Get(c *nl.Conn, r nl.Request) (Link, error) {
	answers, err := c.Query(r)
	if errors.Is(err, unix.ENODEV) {
		return Link{}, ErrNoLink
	}
	if err != nil {
		return Link{}, err
	}
	if len(answers) == 0 {
		return Link{}, fmt.Errorf("%s: no answer", r.What)
	}
	l, err := ParseLink(answers[0].Data)
	if err != nil {
		return Link{}, fmt.Errorf("%s: %w", r.What, err)
	}
	return l, nil
}

// List sends GetLinks and reads the answers.
func List(c *nl.Conn) ([]Link, error) { return list(c, GetLinks()) }

// Ports sends GetPorts and reads the answers.
func Ports(c *nl.Conn, master uint32, bridge string) ([]Link, error) {
	links, err := list(c, GetPorts(master, bridge))
	return slices.DeleteFunc(links, func(l Link) bool { return l.Master != master }), err
}

func list(c *nl.Conn, r nl.Request) ([]Link, error) {
	answers, err := c.Query(r)
	if err != nil {
		return nil, err
	}
	links := make([]Link, 0, len(answers))
	for _, m := range answers {
		l, err := ParseLink(m.Data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.What, err)
		}
		links = append(links, l)
	}
	return links, nil
}

// ParseLink reads the data of an RTM_NEWLINK message. What it does not know
// it passes over; what is cut short is an error.
func ParseLink(b []byte) (Link, error) {
	if len(b) < unix.SizeofIfInfomsg {
		return Link{}, fmt.Errorf("a link message of %d bytes", len(b))
	}
	l := Link{
		Index: binary.NativeEndian.Uint32(b[4:]),
		Flags: binary.NativeEndian.Uint32(b[8:]),
	}
	ad, err := netlink.NewAttributeDecoder(b[unix.SizeofIfInfomsg:])
	if err != nil {
		return Link{}, err
	}
	for ad.Next() {
		switch ad.Type() {
		case unix.IFLA_IFNAME:
			l.Name = ad.String()
		case unix.IFLA_IFALIAS:
			l.Alias = ad.String()
		case unix.IFLA_GROUP:
			l.Group = ad.Uint32()
		case unix.IFLA_ADDRESS:
			l.MAC = bytes.Clone(ad.Bytes())
		case unix.IFLA_MTU:
			l.MTU = ad.Uint32()
		case unix.IFLA_MASTER:
			l.Master = ad.Uint32()
		case unix.IFLA_LINKINFO:
			ad.Nested(l.parseInfo)
		}
	}
	return l, ad.Err()
}

// parseInfo reads IFLA_LINKINFO: the link's kind, and what its master knows
// of it. The master's kind goes before, and says what the numbers of that
// mean: 1 is a bridge port's state, but a VRF's table (IFLA_VRF_PORT_TABLE).
func (l *Link) parseInfo(ad *netlink.AttributeDecoder) error {
	master := ""
	for ad.Next() {
		switch ad.Type() {
		case unix.IFLA_INFO_KIND:
			l.Kind = ad.String()
		case unix.IFLA_INFO_SLAVE_KIND:
			master = ad.String()
		case unix.IFLA_INFO_SLAVE_DATA:
			if master != "bridge" {
				continue
			}
			ad.Nested(func(ad *netlink.AttributeDecoder) error {
				for ad.Next() {
					if ad.Type() == unix.IFLA_BRPORT_STATE {
						l.PortState = ad.Uint8()
					}
				}
				return nil
			})
		}
	}
	return nil
}

// NameOf is the name of the link that has an index; ErrNoLink for ENODEV.
//
// It is asked for by ioctl(2) (SIOCGIFNAME, netdevice(7)), which any socket can,
// and which takes a hundredth of Get's time: it waits for no lock of rtnetlink's,
// and the answer is the name alone.
func NameOf(c *nl.Conn, index uint32) (string, error) {
	req, err := unix.NewIfreq("")
	if err != nil {
		return "", err
	}
	req.SetUint32(index)
	switch err := unix.IoctlIfreq(c.FD(), unix.SIOCGIFNAME, req); {
	case errors.Is(err, unix.ENODEV):
		return "", ErrNoLink
	case err != nil:
		return "", fmt.Errorf("link with index %d: SIOCGIFNAME: %w", index, err)
	}
	return req.Name(), nil
}
