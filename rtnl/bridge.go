//go:build linux

package rtnl

import (
	"net"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/nl"
)

// Bridge makes a bridge and brings it up. EEXIST when the name is taken,
// EOPNOTSUPP when the kernel has no bridges.
//
// The address is given here because a bridge that is made without one takes
// the lowest of its ports' and changes it as they come and go, and with it
// every neighbour's ARP entry for the gateway (br_stp_recalculate_bridge_id,
// net/bridge/br_stp_if.c, leaves an address that was set alone).
func Bridge(name string, mac net.HardwareAddr) nl.Request {
	return nl.Request{
		Type:  unix.RTM_NEWLINK,
		Flags: create,
		Data: body(ifinfomsg(0, unix.IFF_UP), func(ae *netlink.AttributeEncoder) {
			ae.String(unix.IFLA_IFNAME, name)
			ae.Bytes(unix.IFLA_ADDRESS, mac)
			nested(ae, unix.IFLA_LINKINFO, func(ae *netlink.AttributeEncoder) {
				ae.String(unix.IFLA_INFO_KIND, "bridge")
			})
		}),
		What: "bridge " + name + ": create",
		Cmd:  "ip link add name " + name + " address " + mac.String() + " up type bridge",
		Advice: []nl.Advice{
			{Errno: unix.EOPNOTSUPP, Text: "the kernel has no bridge support: CONFIG_BRIDGE, module bridge"},
			{Errno: unix.EPERM, Text: "it takes CAP_NET_ADMIN in this network namespace"},
		},
	}
}

// Port sets what a bridge does at one of its ports, and the port's alias, in
// one message.
//
// Hairpin lets a frame leave by the port that it came in by, which happens to
// a container that calls its own published port where br_netfilter rewrites
// the destination at the bridge.
func Port(name string, hairpin bool, alias string) nl.Request {
	onOff := "off"
	if hairpin {
		onOff = "on"
	}
	return nl.Request{
		Type:  unix.RTM_NEWLINK,
		Flags: change,
		Data: body(ifinfomsg(0, 0), func(ae *netlink.AttributeEncoder) {
			ae.String(unix.IFLA_IFNAME, name)
			ae.Bytes(unix.IFLA_IFALIAS, []byte(alias))
			nested(ae, unix.IFLA_LINKINFO, func(ae *netlink.AttributeEncoder) {
				ae.String(unix.IFLA_INFO_SLAVE_KIND, "bridge")
				nested(ae, unix.IFLA_INFO_SLAVE_DATA, func(ae *netlink.AttributeEncoder) {
					var mode uint8
					if hairpin {
						mode = 1
					}
					ae.Uint8(unix.IFLA_BRPORT_MODE, mode)
				})
			})
		}),
		What: "link " + name + ": set hairpin mode and alias",
		Cmd: "ip link set dev " + name + " alias " + quote(alias) +
			" type bridge_slave hairpin " + onOff,
	}
}
