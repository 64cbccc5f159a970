//go:build linux

package rtnl

import (
	"fmt"
	"net"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/nl"
)

// vethInfoPeer is VETH_INFO_PEER in linux/veth.h: a struct ifinfomsg and the
// attributes of the other end.
const vethInfoPeer = 1

// VethPeer is the container's end of a pair.
type VethPeer struct {
	Name string
	MAC  net.HardwareAddr // the kernel chooses when nil
	PID  int              // a process whose network namespace it is made in
}

// Veth makes a pair of veths: one here, up and a port of the bridge (of none, if
// that has no name), the
// other in the peer's namespace, down. Neither is seen anywhere else on the
// way: an article's "ip link set veth1 netns PID" has nothing to do.
//
// mac is the address of the end that stays here; the kernel chooses when nil. A
// bridge that nobody has given an address takes the lowest of its ports'
// (br_stp_recalculate_bridge_id, net/bridge/br_stp_if.c).
//
// The peer can't be made up, because veth_open (drivers/net/veth.c) answers
// ENOTCONN while the two are not linked yet.
//
// It fails with EEXIST when a name is taken, EINVAL when the bridge is gone,
// ESRCH when the process is, EXFULL (1,023 ports) when the bridge is full and
// EOPNOTSUPP when the kernel has no veth.
func Veth(name string, mac net.HardwareAddr, bridge string, master uint32, mtu uint32, peer VethPeer) nl.Request {
	return nl.Request{
		Type:  unix.RTM_NEWLINK,
		Flags: create,
		Data: body(ifinfomsg(0, unix.IFF_UP), func(ae *netlink.AttributeEncoder) {
			ae.String(unix.IFLA_IFNAME, name)
			if mtu != 0 {
				ae.Uint32(unix.IFLA_MTU, mtu)
			}
			if mac != nil {
				ae.Bytes(unix.IFLA_ADDRESS, mac)
			}
			ae.Uint32(unix.IFLA_MASTER, master)
			nested(ae, unix.IFLA_LINKINFO, func(ae *netlink.AttributeEncoder) {
				ae.String(unix.IFLA_INFO_KIND, "veth")
				nested(ae, unix.IFLA_INFO_DATA, func(ae *netlink.AttributeEncoder) {
					ae.Bytes(unix.NLA_F_NESTED|vethInfoPeer, peer.marshal(mtu))
				})
			})
		}),
		What: fmt.Sprintf("bridge %s: add port %s", bridge, name),
		Cmd:  fmt.Sprintf("ip link add name %s%s%s %s up type veth peer %s", name, macWords(mac), mtuWords(mtu), masterWords(bridge), peer.words(mtu)),
		Advice: []nl.Advice{
			{Errno: unix.EOPNOTSUPP, Text: "the kernel has no veth support: CONFIG_VETH, module veth"},
			{Errno: unix.EXFULL, Text: "a bridge holds 1,023 ports: choose another with -bridge"},
			{Errno: unix.EINVAL, Text: "the bridge went away meanwhile"},
		},
	}
}

func (p VethPeer) marshal(mtu uint32) []byte {
	return body(ifinfomsg(0, 0), func(ae *netlink.AttributeEncoder) {
		ae.String(unix.IFLA_IFNAME, p.Name)
		if mtu != 0 {
			ae.Uint32(unix.IFLA_MTU, mtu)
		}
		if p.MAC != nil {
			ae.Bytes(unix.IFLA_ADDRESS, p.MAC)
		}
		ae.Uint32(unix.IFLA_NET_NS_PID, uint32(p.PID))
	})
}

// words is the peer in ip(8)'s words.
func (p VethPeer) words(mtu uint32) string {
	s := "name " + p.Name
	return s + macWords(p.MAC) + mtuWords(mtu) + fmt.Sprint(" netns ", p.PID)
}

func masterWords(bridge string) string {
	if bridge == "" {
		return "nomaster"
	}
	return "master " + bridge
}

func macWords(mac net.HardwareAddr) string {
	if mac == nil {
		return ""
	}
	return " address " + mac.String()
}

func mtuWords(mtu uint32) string {
	if mtu == 0 {
		return ""
	}
	return fmt.Sprint(" mtu ", mtu)
}
