//go:build linux

package rtnl_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"container/nl"
	"container/rtnl"
)

// Numbers that a message has in the host's byte order. All else in a golden is
// a string of hex digits: the same bytes on every machine.
type (
	u16 uint16
	u32 uint32
)

// raw is the bytes of u16s, u32s, zeros and strings of hex digits.
func raw(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case u16:
			b = binary.NativeEndian.AppendUint16(b, uint16(p))
		case u32:
			b = binary.NativeEndian.AppendUint32(b, uint32(p))
		case zeros:
			b = append(b, make([]byte, p)...)
		case string:
			digits, err := hex.DecodeString(strings.ReplaceAll(p, " ", ""))
			if err != nil {
				panic(fmt.Sprintf("%q: %v", p, err))
			}
			b = append(b, digits...)
		default:
			panic(fmt.Sprintf("%v: what is a %T?", p, p))
		}
	}
	return b
}

// dump is bytes as lines to compare, 16 bytes a line.
func dump(b []byte) []string { return strings.Split(hex.Dump(b), "\n") }

var (
	mac1 = net.HardwareAddr{0x02, 0x00, 0x5e, 0x00, 0x00, 0x01}
	mac2 = net.HardwareAddr{0x02, 0x00, 0x5e, 0x00, 0x00, 0x02}
)

// TestGolden compares each request with its bytes, one attribute a line. All
// numbers of types and attributes are the kernel's, looked up by hand: a wrong
// constant is found as well as a wrong builder. The name of each is the
// command that does the same, and must be the request's Cmd.
func TestGolden(t *testing.T) {
	for _, tt := range []struct {
		cmd  string
		req  nl.Request
		want []byte
	}{
		{
			"ip link set dev lo up",
			rtnl.Up(1, "lo"),
			raw(
				u32(32), u16(16), u16(0x5), u32(1), u32(0), //  RTM_NEWLINK; REQUEST, ACK
				"00 00", u16(0), u32(1), u32(0x1), u32(0x1), // index 1; IFF_UP of IFF_UP
			),
		},
		{
			"ip link set dev veth1 alias 'it'\\''s \"mine\"'",
			rtnl.SetAlias("veth1", `it's "mine"`),
			raw(
				u32(60), u16(16), u16(0x5), u32(1), u32(0), //                 RTM_NEWLINK; REQUEST, ACK
				"00 00", u16(0), u32(0), u32(0), u32(0),
				u16(10), u16(3), "76 65 74 68 31 00", "00 00", //              IFLA_IFNAME "veth1"
				u16(15), u16(20), "69 74 27 73 20 22 6d 69 6e 65 22", "00", // IFLA_IFALIAS, without a NUL
			),
		},
		{
			"ip link del dev veth1",
			rtnl.DeleteLink(7, "veth1"),
			raw(
				u32(32), u16(17), u16(0x5), u32(1), u32(0), // RTM_DELLINK; REQUEST, ACK
				"00 00", u16(0), u32(7), u32(0), u32(0), //    index 7
			),
		},
		{
			"ip -d link show dev br0",
			rtnl.GetLink("br0"),
			raw(
				u32(48), u16(18), u16(0x1), u32(1), u32(0), // RTM_GETLINK; REQUEST
				"00 00", u16(0), u32(0), u32(0), u32(0),
				u16(8), u16(29), u32(0x8), //                  IFLA_EXT_MASK: RTEXT_FILTER_SKIP_STATS
				u16(8), u16(3), "62 72 30 00", //              IFLA_IFNAME "br0"
			),
		},
		{
			"ip -d link show | grep ^7:",
			rtnl.GetLinkIndex(7),
			raw(
				u32(40), u16(18), u16(0x1), u32(1), u32(0), // RTM_GETLINK; REQUEST
				"00 00", u16(0), u32(7), u32(0), u32(0), //    index 7
				u16(8), u16(29), u32(0x8), //                  IFLA_EXT_MASK: RTEXT_FILTER_SKIP_STATS
			),
		},
		{
			"ip -d link show",
			rtnl.GetLinks(),
			raw(
				u32(40), u16(18), u16(0x301), u32(1), u32(0), // RTM_GETLINK; REQUEST, DUMP
				"00 00", u16(0), u32(0), u32(0), u32(0),
				u16(8), u16(29), u32(0x8), //                    IFLA_EXT_MASK: RTEXT_FILTER_SKIP_STATS
			),
		},
		{
			"sysctl -w net.ipv4.conf.eth0.arp_notify=1",
			rtnl.Set(2, "eth0", rtnl.ARPNotify),
			raw(
				u32(52), u16(16), u16(0x5), u32(1), u32(0), // RTM_NEWLINK; REQUEST, ACK
				"00 00", u16(0), u32(2), u32(0), u32(0), //    index 2
				u16(20), u16(0x8000|26), //                    IFLA_AF_SPEC
				u16(16), u16(0x8000|2), //                     . AF_INET
				u16(12), u16(0x8000|1), //                     . . IFLA_INET_CONF
				u16(8), u16(22), u32(1), //                    . . . IPV4_DEVCONF_ARP_NOTIFY
			),
		},
		{
			"sysctl -w net.ipv4.conf.br0.route_localnet=1",
			rtnl.Set(3, "br0", rtnl.RouteLocalnet),
			raw(
				u32(52), u16(16), u16(0x5), u32(1), u32(0), // RTM_NEWLINK; REQUEST, ACK
				"00 00", u16(0), u32(3), u32(0), u32(0), //    index 3
				u16(20), u16(0x8000|26), //                    IFLA_AF_SPEC
				u16(16), u16(0x8000|2), //                     . AF_INET
				u16(12), u16(0x8000|1), //                     . . IFLA_INET_CONF
				u16(8), u16(26), u32(1), //                    . . . IPV4_DEVCONF_ROUTE_LOCALNET
			),
		},
		{
			"ip link set dev eth0 address 02:00:5e:00:00:01",
			rtnl.Announce(2, "eth0", mac1),
			raw(
				u32(44), u16(16), u16(0x5), u32(1), u32(0), //    RTM_NEWLINK; REQUEST, ACK
				"00 00", u16(0), u32(2), u32(0), u32(0), //       index 2
				u16(10), u16(1), "02 00 5e 00 00 01", "00 00", // IFLA_ADDRESS
			),
		},
		{
			"ip link add name br0 address 02:00:5e:00:00:01 up type bridge",
			rtnl.Bridge("br0", mac1),
			raw(
				u32(68), u16(16), u16(0x605), u32(1), u32(0), //  RTM_NEWLINK; REQUEST, ACK, CREATE, EXCL
				"00 00", u16(0), u32(0), u32(0x1), u32(0x1), //   IFF_UP of IFF_UP
				u16(8), u16(3), "62 72 30 00", //                 IFLA_IFNAME "br0"
				u16(10), u16(1), "02 00 5e 00 00 01", "00 00", // IFLA_ADDRESS
				u16(16), u16(0x8000|18), //                       IFLA_LINKINFO
				u16(11), u16(1), "62 72 69 64 67 65 00", "00", // . IFLA_INFO_KIND "bridge"
			),
		},
		{
			"ip link add name br0 group 1835100526 address 02:00:5e:00:00:01 up type bridge",
			rtnl.GroupedBridge("br0", mac1, 0x6d61696e),
			raw(
				u32(76), u16(16), u16(0x605), u32(1), u32(0), //  RTM_NEWLINK; REQUEST, ACK, CREATE, EXCL
				"00 00", u16(0), u32(0), u32(0x1), u32(0x1), //   IFF_UP of IFF_UP
				u16(8), u16(3), "62 72 30 00", //                 IFLA_IFNAME "br0"
				u16(10), u16(1), "02 00 5e 00 00 01", "00 00", // IFLA_ADDRESS
				u16(8), u16(27), u32(0x6d61696e), //              IFLA_GROUP
				u16(16), u16(0x8000|18), //                       IFLA_LINKINFO
				u16(11), u16(1), "62 72 69 64 67 65 00", "00", // . IFLA_INFO_KIND "bridge"
			),
		},
		{
			"ip link set dev veth1 alias 'x' type bridge_slave hairpin on guard on isolated on group_fwd_mask 0xfffd",
			rtnl.SetPort(rtnl.Port{Name: "veth1", Alias: "x", Hairpin: true, Guard: true, Isolated: true, ForwardGroups: 0xfffd}),
			raw(
				u32(104), u16(16), u16(0x5), u32(1), u32(0), //    RTM_NEWLINK; REQUEST, ACK
				"00 00", u16(0), u32(0), u32(0), u32(0),
				u16(10), u16(3), "76 65 74 68 31 00", "00 00", // IFLA_IFNAME "veth1"
				u16(5), u16(20), "78", "00 00 00", //             IFLA_IFALIAS "x"
				u16(52), u16(0x8000|18), //                       IFLA_LINKINFO
				u16(11), u16(4), "62 72 69 64 67 65 00", "00", // . IFLA_INFO_SLAVE_KIND "bridge"
				u16(36), u16(0x8000|5), //                        . IFLA_INFO_SLAVE_DATA
				u16(5), u16(4), "01", "00 00 00", //              . . IFLA_BRPORT_MODE
				u16(5), u16(5), "01", "00 00 00", //              . . IFLA_BRPORT_GUARD
				u16(6), u16(31), u16(0xfffd), "00 00", //         . . IFLA_BRPORT_GROUP_FWD_MASK
				u16(5), u16(33), "01", "00 00 00", //             . . IFLA_BRPORT_ISOLATED
			),
		},
		{
			"ip link set dev veth1 alias '' type bridge_slave hairpin off guard off isolated off group_fwd_mask 0x0",
			rtnl.SetPort(rtnl.Port{Name: "veth1"}),
			raw(
				u32(100), u16(16), u16(0x5), u32(1), u32(0), //    RTM_NEWLINK; REQUEST, ACK
				"00 00", u16(0), u32(0), u32(0), u32(0),
				u16(10), u16(3), "76 65 74 68 31 00", "00 00", // IFLA_IFNAME "veth1"
				u16(4), u16(20), //                               IFLA_IFALIAS ""
				u16(52), u16(0x8000|18), //                       IFLA_LINKINFO
				u16(11), u16(4), "62 72 69 64 67 65 00", "00", // . IFLA_INFO_SLAVE_KIND "bridge"
				u16(36), u16(0x8000|5), //                        . IFLA_INFO_SLAVE_DATA
				u16(5), u16(4), "00", "00 00 00", //              . . IFLA_BRPORT_MODE
				u16(5), u16(5), "00", "00 00 00", //              . . IFLA_BRPORT_GUARD
				u16(6), u16(31), u16(0), "00 00", //              . . IFLA_BRPORT_GROUP_FWD_MASK
				u16(5), u16(33), "00", "00 00 00", //             . . IFLA_BRPORT_ISOLATED
			),
		},
		{
			"ip link set dev veth1 alias '' type bridge_slave hairpin on guard off isolated off group_fwd_mask 0x0",
			rtnl.SetPort(rtnl.Port{Name: "veth1", Hairpin: true}),
			raw(
				u32(100), u16(16), u16(0x5), u32(1), u32(0), //    RTM_NEWLINK; REQUEST, ACK
				"00 00", u16(0), u32(0), u32(0), u32(0),
				u16(10), u16(3), "76 65 74 68 31 00", "00 00", // IFLA_IFNAME "veth1"
				u16(4), u16(20), //                               IFLA_IFALIAS ""
				u16(52), u16(0x8000|18), //                       IFLA_LINKINFO
				u16(11), u16(4), "62 72 69 64 67 65 00", "00", // . IFLA_INFO_SLAVE_KIND "bridge"
				u16(36), u16(0x8000|5), //                        . IFLA_INFO_SLAVE_DATA
				u16(5), u16(4), "01", "00 00 00", //              . . IFLA_BRPORT_MODE
				u16(5), u16(5), "00", "00 00 00", //              . . IFLA_BRPORT_GUARD
				u16(6), u16(31), u16(0), "00 00", //              . . IFLA_BRPORT_GROUP_FWD_MASK
				u16(5), u16(33), "00", "00 00 00", //             . . IFLA_BRPORT_ISOLATED
			),
		},
		{
			"ip link set dev veth1 alias '' type bridge_slave hairpin off guard on isolated off group_fwd_mask 0x0",
			rtnl.SetPort(rtnl.Port{Name: "veth1", Guard: true}),
			raw(
				u32(100), u16(16), u16(0x5), u32(1), u32(0), //    RTM_NEWLINK; REQUEST, ACK
				"00 00", u16(0), u32(0), u32(0), u32(0),
				u16(10), u16(3), "76 65 74 68 31 00", "00 00", // IFLA_IFNAME "veth1"
				u16(4), u16(20), //                               IFLA_IFALIAS ""
				u16(52), u16(0x8000|18), //                       IFLA_LINKINFO
				u16(11), u16(4), "62 72 69 64 67 65 00", "00", // . IFLA_INFO_SLAVE_KIND "bridge"
				u16(36), u16(0x8000|5), //                        . IFLA_INFO_SLAVE_DATA
				u16(5), u16(4), "00", "00 00 00", //              . . IFLA_BRPORT_MODE
				u16(5), u16(5), "01", "00 00 00", //              . . IFLA_BRPORT_GUARD
				u16(6), u16(31), u16(0), "00 00", //              . . IFLA_BRPORT_GROUP_FWD_MASK
				u16(5), u16(33), "00", "00 00 00", //             . . IFLA_BRPORT_ISOLATED
			),
		},
		{
			"ip link set dev veth1 alias '' type bridge_slave hairpin off guard off isolated on group_fwd_mask 0x0",
			rtnl.SetPort(rtnl.Port{Name: "veth1", Isolated: true}),
			raw(
				u32(100), u16(16), u16(0x5), u32(1), u32(0), //    RTM_NEWLINK; REQUEST, ACK
				"00 00", u16(0), u32(0), u32(0), u32(0),
				u16(10), u16(3), "76 65 74 68 31 00", "00 00", // IFLA_IFNAME "veth1"
				u16(4), u16(20), //                               IFLA_IFALIAS ""
				u16(52), u16(0x8000|18), //                       IFLA_LINKINFO
				u16(11), u16(4), "62 72 69 64 67 65 00", "00", // . IFLA_INFO_SLAVE_KIND "bridge"
				u16(36), u16(0x8000|5), //                        . IFLA_INFO_SLAVE_DATA
				u16(5), u16(4), "00", "00 00 00", //              . . IFLA_BRPORT_MODE
				u16(5), u16(5), "00", "00 00 00", //              . . IFLA_BRPORT_GUARD
				u16(6), u16(31), u16(0), "00 00", //              . . IFLA_BRPORT_GROUP_FWD_MASK
				u16(5), u16(33), "01", "00 00 00", //             . . IFLA_BRPORT_ISOLATED
			),
		},
		{
			"ip link set dev veth1 alias '' type bridge_slave hairpin off guard off isolated off group_fwd_mask 0x4000",
			rtnl.SetPort(rtnl.Port{Name: "veth1", ForwardGroups: 1 << 14}),
			raw(
				u32(100), u16(16), u16(0x5), u32(1), u32(0), //   RTM_NEWLINK; REQUEST, ACK
				"00 00", u16(0), u32(0), u32(0), u32(0),
				u16(10), u16(3), "76 65 74 68 31 00", "00 00", // IFLA_IFNAME "veth1"
				u16(4), u16(20), //                               IFLA_IFALIAS ""
				u16(52), u16(0x8000|18), //                       IFLA_LINKINFO
				u16(11), u16(4), "62 72 69 64 67 65 00", "00", // . IFLA_INFO_SLAVE_KIND "bridge"
				u16(36), u16(0x8000|5), //                        . IFLA_INFO_SLAVE_DATA
				u16(5), u16(4), "00", "00 00 00", //              . . IFLA_BRPORT_MODE
				u16(5), u16(5), "00", "00 00 00", //              . . IFLA_BRPORT_GUARD
				u16(6), u16(31), u16(0x4000), "00 00", //         . . IFLA_BRPORT_GROUP_FWD_MASK
				u16(5), u16(33), "00", "00 00 00", //             . . IFLA_BRPORT_ISOLATED
			),
		},
		{
			"ip link add name veth1 master br0 up type veth peer name eth0 netns 4711",
			rtnl.Veth("veth1", nil, "br0", 3, 0, rtnl.VethPeer{Name: "eth0", PID: 4711}),
			raw(
				u32(112), u16(16), u16(0x605), u32(1), u32(0), // RTM_NEWLINK; REQUEST, ACK, CREATE, EXCL
				"00 00", u16(0), u32(0), u32(0x1), u32(0x1), //   IFF_UP of IFF_UP
				u16(10), u16(3), "76 65 74 68 31 00", "00 00", // IFLA_IFNAME "veth1"
				u16(8), u16(10), u32(3), //                       IFLA_MASTER
				u16(60), u16(0x8000|18), //                       IFLA_LINKINFO
				u16(9), u16(1), "76 65 74 68 00", "00 00 00", //  . IFLA_INFO_KIND "veth"
				u16(44), u16(0x8000|2), //                        . IFLA_INFO_DATA
				u16(40), u16(0x8000|1), //                        . . VETH_INFO_PEER
				"00 00", u16(0), u32(0), u32(0), u32(0), //       . . . struct ifinfomsg
				u16(9), u16(3), "65 74 68 30 00", "00 00 00", //  . . . IFLA_IFNAME "eth0"
				u16(8), u16(19), u32(4711), //                    . . . IFLA_NET_NS_PID
			),
		},
		{
			"ip link add name veth1 mtu 1400 master br0 up" +
				" type veth peer name eth0 address 02:00:5e:00:00:02 mtu 1400 netns 4711",
			rtnl.Veth("veth1", nil, "br0", 3, 1400, rtnl.VethPeer{Name: "eth0", MAC: mac2, PID: 4711}),
			raw(
				u32(140), u16(16), u16(0x605), u32(1), u32(0), // RTM_NEWLINK; REQUEST, ACK, CREATE, EXCL
				"00 00", u16(0), u32(0), u32(0x1), u32(0x1), //   IFF_UP of IFF_UP
				u16(10), u16(3), "76 65 74 68 31 00", "00 00", // IFLA_IFNAME "veth1"
				u16(8), u16(4), u32(1400), //                     IFLA_MTU
				u16(8), u16(10), u32(3), //                       IFLA_MASTER
				u16(80), u16(0x8000|18), //                       IFLA_LINKINFO
				u16(9), u16(1), "76 65 74 68 00", "00 00 00", //  . IFLA_INFO_KIND "veth"
				u16(64), u16(0x8000|2), //                        . IFLA_INFO_DATA
				u16(60), u16(0x8000|1), //                        . . VETH_INFO_PEER
				"00 00", u16(0), u32(0), u32(0), u32(0), //       . . . struct ifinfomsg
				u16(9), u16(3), "65 74 68 30 00", "00 00 00", //  . . . IFLA_IFNAME "eth0"
				u16(8), u16(4), u32(1400), //                     . . . IFLA_MTU
				u16(10), u16(1), "02 00 5e 00 00 02", "00 00", // . . . IFLA_ADDRESS
				u16(8), u16(19), u32(4711), //                    . . . IFLA_NET_NS_PID
			),
		},
		{
			"ip addr add 172.16.0.30/20 dev eth0 broadcast +",
			rtnl.Address(2, "eth0", netip.MustParsePrefix("172.16.0.30/20")),
			raw(
				u32(48), u16(20), u16(0x605), u32(1), u32(0), // RTM_NEWADDR; REQUEST, ACK, CREATE, EXCL
				"02 14 00 00", u32(2), //                        AF_INET, /20; index 2
				u16(8), u16(2), "ac 10 00 1e", //                IFA_LOCAL
				u16(8), u16(1), "ac 10 00 1e", //                IFA_ADDRESS
				u16(8), u16(4), "ac 10 0f ff", //                IFA_BROADCAST 172.16.15.255
			),
		},
		{
			"ip addr add 10.0.0.0/31 dev eth0",
			rtnl.Address(2, "eth0", netip.MustParsePrefix("10.0.0.0/31")),
			raw(
				u32(40), u16(20), u16(0x605), u32(1), u32(0), // RTM_NEWADDR; REQUEST, ACK, CREATE, EXCL
				"02 1f 00 00", u32(2), //                        AF_INET, /31; index 2
				u16(8), u16(2), "0a 00 00 00", //                IFA_LOCAL
				u16(8), u16(1), "0a 00 00 00", //                IFA_ADDRESS
			),
		},
		{
			"ip addr add 10.0.0.1/32 dev eth0",
			rtnl.Address(2, "eth0", netip.MustParsePrefix("10.0.0.1/32")),
			raw(
				u32(40), u16(20), u16(0x605), u32(1), u32(0), // RTM_NEWADDR; REQUEST, ACK, CREATE, EXCL
				"02 20 00 00", u32(2), //                        AF_INET, /32; index 2
				u16(8), u16(2), "0a 00 00 01", //                IFA_LOCAL
				u16(8), u16(1), "0a 00 00 01", //                IFA_ADDRESS
			),
		},
		{
			"ip addr add fd00::1e/64 dev eth0 nodad",
			rtnl.Address(2, "eth0", netip.MustParsePrefix("fd00::1e/64")),
			raw(
				u32(52), u16(20), u16(0x605), u32(1), u32(0), // RTM_NEWADDR; REQUEST, ACK, CREATE, EXCL
				"0a 40 00 00", u32(2), //                        AF_INET6, /64; index 2
				u16(20), u16(1), //                              IFA_ADDRESS
				"fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 1e",
				u16(8), u16(8), u32(2), //                       IFA_FLAGS: IFA_F_NODAD
			),
		},
		{
			"ip addr show",
			rtnl.GetAddresses(unix.AF_UNSPEC),
			raw(
				u32(24), u16(22), u16(0x301), u32(1), u32(0), // RTM_GETADDR; REQUEST, DUMP
				"00 00 00 00", u32(0), //                        AF_UNSPEC
			),
		},
		{
			"ip -4 addr show",
			rtnl.GetAddresses(unix.AF_INET),
			raw(
				u32(24), u16(22), u16(0x301), u32(1), u32(0), // RTM_GETADDR; REQUEST, DUMP
				"02 00 00 00", u32(0), //                        AF_INET
			),
		},
		{
			"ip -6 addr show",
			rtnl.GetAddresses(unix.AF_INET6),
			raw(
				u32(24), u16(22), u16(0x301), u32(1), u32(0), // RTM_GETADDR; REQUEST, DUMP
				"0a 00 00 00", u32(0), //                        AF_INET6
			),
		},
		{
			"ip -d link show master br0",
			rtnl.GetPorts(3, "br0"),
			raw(
				u32(48), u16(18), u16(0x301), u32(1), u32(0), // RTM_GETLINK; REQUEST, DUMP
				"00 00", u16(0), u32(0), u32(0), u32(0),
				u16(8), u16(29), u32(0x8), //                    IFLA_EXT_MASK: RTEXT_FILTER_SKIP_STATS
				u16(8), u16(10), u32(3), //                      IFLA_MASTER
			),
		},
		{
			"ip link set dev br0 addrgenmode none",
			rtnl.SetAddrGenMode(3, "br0", rtnl.None),
			raw(
				u32(48), u16(16), u16(0x5), u32(1), u32(0), // RTM_NEWLINK; REQUEST, ACK
				"00 00", u16(0), u32(3), u32(0), u32(0), //    index 3
				u16(16), u16(0x8000|26), //                    IFLA_AF_SPEC
				u16(12), u16(0x8000|10), //                    . AF_INET6
				u16(5), u16(8), "01", "00 00 00", //           . . IFLA_INET6_ADDR_GEN_MODE
			),
		},
		{
			"ip neigh replace 172.16.0.30 dev br0 nud none use",
			rtnl.Probe(3, "br0", netip.MustParseAddr("172.16.0.30")),
			raw(
				u32(36), u16(28), u16(0x505), u32(1), u32(0), // RTM_NEWNEIGH; REQUEST, ACK, REPLACE, CREATE
				"02 00 00 00", u32(3), //                        AF_INET; index 3
				u16(0), "01 00", //                              NUD_NONE; NTF_USE
				u16(8), u16(1), "ac 10 00 1e", //                NDA_DST
			),
		},
		{
			"ip neigh replace fd00::1e dev br0 nud none use",
			rtnl.Probe(3, "br0", netip.MustParseAddr("fd00::1e")),
			raw(
				u32(48), u16(28), u16(0x505), u32(1), u32(0), // RTM_NEWNEIGH; REQUEST, ACK, REPLACE, CREATE
				"0a 00 00 00", u32(3), //                        AF_INET6; index 3
				u16(0), "01 00", //                              NUD_NONE; NTF_USE
				u16(20), u16(1), //                              NDA_DST
				"fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 1e",
			),
		},
		{
			"ip neigh del 172.16.0.30 dev br0",
			rtnl.DeleteNeighbour(3, "br0", netip.MustParseAddr("172.16.0.30")),
			raw(
				u32(36), u16(29), u16(0x5), u32(1), u32(0), // RTM_DELNEIGH; REQUEST, ACK
				"02 00 00 00", u32(3), //                      AF_INET; index 3
				u16(0), "00 00",
				u16(8), u16(1), "ac 10 00 1e", //              NDA_DST
			),
		},
		{
			"ip neigh get fd00::1e dev br0",
			rtnl.GetNeighbour(3, "br0", netip.MustParseAddr("fd00::1e")),
			raw(
				u32(48), u16(30), u16(0x1), u32(1), u32(0), // RTM_GETNEIGH; REQUEST
				"0a 00 00 00", u32(3), //                      AF_INET6; index 3
				u16(0), "00 00",
				u16(20), u16(1), //                            NDA_DST
				"fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 1e",
			),
		},
		{
			"bridge fdb get 02:00:5e:00:00:02 br br0",
			rtnl.GetForwarding(3, "br0", mac2),
			raw(
				u32(48), u16(30), u16(0x1), u32(1), u32(0), //    RTM_GETNEIGH; REQUEST
				"07 00 00 00", u32(0), //                         AF_BRIDGE
				u16(0), "00 00",
				u16(10), u16(2), "02 00 5e 00 00 02", "00 00", // NDA_LLADDR
				u16(8), u16(9), u32(3), //                        NDA_MASTER
			),
		},
		{
			"ip route get 192.0.2.1",
			rtnl.GetRoute(netip.MustParseAddr("192.0.2.1")),
			raw(
				u32(36), u16(26), u16(0x1), u32(1), u32(0), // RTM_GETROUTE; REQUEST
				"02 20 00 00",         //                      AF_INET, to /32
				"00 00 00 00", u32(0), //                      any table, protocol, scope and type
				u16(8), u16(1), "c0 00 02 01", //              RTA_DST
			),
		},
		{
			"ip route get fd00::1e",
			rtnl.GetRoute(netip.MustParseAddr("fd00::1e")),
			raw(
				u32(48), u16(26), u16(0x1), u32(1), u32(0), // RTM_GETROUTE; REQUEST
				"0a 80 00 00",         //                      AF_INET6, to /128
				"00 00 00 00", u32(0), //                      any table, protocol, scope and type
				u16(20), u16(1), //                            RTA_DST
				"fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 1e",
			),
		},
		{
			"ip route add default via 172.16.0.100",
			rtnl.DefaultRoute(netip.MustParseAddr("172.16.0.100")),
			raw(
				u32(36), u16(24), u16(0x605), u32(1), u32(0), // RTM_NEWROUTE; REQUEST, ACK, CREATE, EXCL
				"02 00 00 00",         //                        AF_INET, to /0, from /0, TOS 0
				"fe 03 00 01", u32(0), //                        RT_TABLE_MAIN, RTPROT_BOOT, UNIVERSE, UNICAST
				u16(8), u16(5), "ac 10 00 64", //                RTA_GATEWAY
			),
		},
		{
			"ip route add default via fd00::64",
			rtnl.DefaultRoute(netip.MustParseAddr("fd00::64")),
			raw(
				u32(48), u16(24), u16(0x605), u32(1), u32(0), // RTM_NEWROUTE; REQUEST, ACK, CREATE, EXCL
				"0a 00 00 00",         //                        AF_INET6, to /0, from /0, TOS 0
				"fe 03 00 01", u32(0), //                        RT_TABLE_MAIN, RTPROT_BOOT, UNIVERSE, UNICAST
				u16(20), u16(5), //                              RTA_GATEWAY
				"fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 64",
			),
		},
	} {
		t.Run(tt.cmd, func(t *testing.T) {
			if diff := cmp.Diff(tt.cmd, tt.req.Cmd); diff != "" {
				t.Errorf("Cmd (-want +got):\n%s", diff)
			}
			got := nl.Marshal([]nl.Request{tt.req})
			if diff := cmp.Diff(dump(tt.want), dump(got)); diff != "" {
				t.Errorf("bytes (-want +got):\n%s", diff)
			}
		})
	}
}

// A message is a value: to build the same twice gives the same, and nothing of
// the first is shared with the second.
func TestBuildersShareNothing(t *testing.T) {
	a := rtnl.Veth("veth1", nil, "br0", 3, 1400, rtnl.VethPeer{Name: "eth0", MAC: mac2, PID: 4711})
	b := rtnl.Veth("veth1", nil, "br0", 3, 1400, rtnl.VethPeer{Name: "eth0", MAC: mac2, PID: 4711})
	for i := range a.Data {
		a.Data[i] = 0xff
	}
	c := rtnl.Veth("veth1", nil, "br0", 3, 1400, rtnl.VethPeer{Name: "eth0", MAC: mac2, PID: 4711})
	if diff := cmp.Diff(b, c); diff != "" {
		t.Errorf("(-second +third):\n%s", diff)
	}
}
