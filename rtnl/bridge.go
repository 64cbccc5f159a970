//go:build linux

package rtnl

import (
	"fmt"
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
func Bridge(name string, mac net.HardwareAddr) nl.Request { return GroupedBridge(name, mac, 0) }

// GroupedBridge is Bridge with a number that says whose the bridge is, from its
// first moment on: a group of links (ip link show group N), 0 by default. Of the
// marks that a link can have it is the one that is read while it is made; an
// alias is not.
func GroupedBridge(name string, mac net.HardwareAddr, group uint32) nl.Request {
	words := ""
	if group != 0 {
		words = fmt.Sprint(" group ", group)
	}
	return nl.Request{
		Type:  unix.RTM_NEWLINK,
		Flags: create,
		Data: body(ifinfomsg(0, unix.IFF_UP), func(ae *netlink.AttributeEncoder) {
			ae.String(unix.IFLA_IFNAME, name)
			ae.Bytes(unix.IFLA_ADDRESS, mac)
			if group != 0 {
				ae.Uint32(unix.IFLA_GROUP, group)
			}
			nested(ae, unix.IFLA_LINKINFO, func(ae *netlink.AttributeEncoder) {
				ae.String(unix.IFLA_INFO_KIND, "bridge")
			})
		}),
		What: "bridge " + name + ": create",
		Cmd:  "ip link add name " + name + words + " address " + mac.String() + " up type bridge",
		Advice: []nl.Advice{
			{Errno: unix.EOPNOTSUPP, Text: "the kernel has no bridge support: CONFIG_BRIDGE, module bridge"},
			{Errno: unix.EPERM, Text: "it takes CAP_NET_ADMIN in this network namespace"},
		},
	}
}

// Port is what a bridge does at one of its ports, and what the port is called.
type Port struct {
	Name  string
	Alias string // as SetAlias gives it

	// Hairpin lets a frame leave by the port that it came in by, which happens
	// to a container that calls its own published port where br_netfilter
	// rewrites the destination at the bridge.
	Hairpin bool

	// Isolated keeps frames from passing between this port and others that are
	// isolated too. (Not between it and one that isn't.) A kernel before Linux
	// 4.18 passes over it without a word.
	Isolated bool

	// Guard disables the port when a spanning tree message (a BPDU) comes in
	// by it, so that a container can't make itself the network's root. It is
	// read where the bridge speaks the protocol itself (br_stp_rcv,
	// net/bridge/br_stp_bpdu.c), and where the message is not forwarded
	// (ForwardGroups).
	Guard bool

	// ForwardGroups are the link-local groups, bit N for 01:80:c2:00:00:0N,
	// that are forwarded like any other when they come in by the port: LLDP's
	// is bit 14. What is sent to the rest is given to the host as if it had
	// come by the port itself, not by the bridge, and the bridge family's hook
	// prerouting never sees it (br_handle_frame, net/bridge/br_input.c). Bit 1,
	// pause frames (BR_GROUPFWD_MACPAUSE), is refused with EINVAL. The others that
	// a bridge as a whole may not forward (BR_GROUPFWD_RESTRICTED: bits 0 to 2)
	// a port may. A kernel before Linux 4.15 passes over it without a word.
	ForwardGroups uint16
}

// AllGroups are all that a port may forward.
const AllGroups = 0xffff &^ (1 << 1)

// SetPort sets all of that in one message.
func SetPort(p Port) nl.Request {
	return nl.Request{
		Type:  unix.RTM_NEWLINK,
		Flags: change,
		Data: body(ifinfomsg(0, 0), func(ae *netlink.AttributeEncoder) {
			ae.String(unix.IFLA_IFNAME, p.Name)
			ae.Bytes(unix.IFLA_IFALIAS, []byte(p.Alias))
			nested(ae, unix.IFLA_LINKINFO, func(ae *netlink.AttributeEncoder) {
				ae.String(unix.IFLA_INFO_SLAVE_KIND, "bridge")
				nested(ae, unix.IFLA_INFO_SLAVE_DATA, func(ae *netlink.AttributeEncoder) {
					ae.Uint8(unix.IFLA_BRPORT_MODE, bit(p.Hairpin))
					ae.Uint8(unix.IFLA_BRPORT_GUARD, bit(p.Guard))
					ae.Uint16(unix.IFLA_BRPORT_GROUP_FWD_MASK, p.ForwardGroups)
					ae.Uint8(unix.IFLA_BRPORT_ISOLATED, bit(p.Isolated))
				})
			})
		}),
		What: "link " + p.Name + ": set its alias and what the bridge does at it",
		Cmd: "ip link set dev " + p.Name + " alias " + quote(p.Alias) + " type bridge_slave" +
			" hairpin " + onOff(p.Hairpin) + " guard " + onOff(p.Guard) + " isolated " + onOff(p.Isolated) +
			fmt.Sprintf(" group_fwd_mask %#x", p.ForwardGroups),
	}
}

func bit(on bool) uint8 {
	if on {
		return 1
	}
	return 0
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}
