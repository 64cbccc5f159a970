//go:build linux

package rtnl_test

import (
	"fmt"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"container/nl"
	"container/rtnl"
)

// world is where a request is to do its work: a network namespace, and the
// container whose process holds another.
type world struct {
	netns
	pid  int
	peer netns
}

// newWorld makes both, and in the first what setup makes, a shell script of
// the real ip(8).
func newWorld(t testing.TB, setup string) world {
	t.Helper()
	w := world{netns: newNetns(t)}
	w.pid, w.peer = container(t)
	// A link-local address comes with a link that is up, made from a hardware
	// address that may be random, and some time later.
	const noLinkLocal = "echo 1 >/proc/sys/net/ipv6/conf/default/addr_gen_mode"
	w.sh(t, noLinkLocal)
	w.peer.sh(t, noLinkLocal)
	if setup != "" {
		w.sh(t, "set -e; "+setup)
	}
	return w
}

// difference is one between what ip(8) sends and what a request is, where that
// is as it should be. An empty string is a thing that isn't there, and "*"
// anything that is.
type difference struct {
	path     string
	ip, here string
	why      string
}

// Why things differ, where it is the same why in several places.
const (
	nul     = "ip sends names of kinds without the NUL; the kernel reads both (nla_strscpy)"
	noState = "what ip gives an entry that it adds; nobody reads it to delete one (neigh_delete)"
	byName  = "ip looks the index up first; here the kernel does, which saves a message"
)

// deed is a request that changes something.
type deed struct {
	name  string
	setup string // done before, in ip(8)'s words
	req   func(t *testing.T, w world) nl.Request

	// differ is all that the request and the message of its Cmd differ in.
	differ []difference

	// writes tells that the Cmd writes to /proc/sys and sends no message.
	writes bool

	// probe is a shell script whose output must be the same after both, beside
	// what ip(8) lists.
	probe string
}

const (
	aBridge = "ip link add name br0 address 02:00:5e:00:00:01 up type bridge; "
	aPair   = "ip link add name veth1 address 02:00:5e:00:00:02 type veth" +
		" peer name veth2 address 02:00:5e:00:00:03; "
	aPort = aBridge + aPair + "ip link set dev veth1 master br0; "
)

// nasty is an alias that a shell takes apart unless it is quoted right.
const nasty = `it's "$HOME" ` + "`id`" + ` \n; exit 3 #`

var deeds = []deed{
	{
		name: "up lo",
		req:  func(*testing.T, world) nl.Request { return rtnl.Up(rtnl.LoopbackIndex, "lo") },
	},
	{
		name:  "up",
		setup: aPair,
		req:   func(t *testing.T, w world) nl.Request { return rtnl.Up(w.index(t, "veth1"), "veth1") },
	},
	{
		name:  "alias",
		setup: aPair,
		req:   func(*testing.T, world) nl.Request { return rtnl.SetAlias("veth1", nasty) },
		differ: []difference{
			{"index", "*", "0", byName},
			{"ifname", "", `"veth1\x00"`, byName},
		},
	},
	{
		name:  "no alias",
		setup: aPair + "ip link set dev veth1 alias old; ",
		req:   func(*testing.T, world) nl.Request { return rtnl.SetAlias("veth1", "") },
		differ: []difference{
			{"index", "*", "0", byName},
			{"ifname", "", `"veth1\x00"`, byName},
		},
	},
	{
		name:  "delete",
		setup: aPair,
		req:   func(t *testing.T, w world) nl.Request { return rtnl.DeleteLink(w.index(t, "veth1"), "veth1") },
	},
	{
		name:   "set arp_notify",
		setup:  aPair,
		req:    func(t *testing.T, w world) nl.Request { return rtnl.Set(w.index(t, "veth1"), "veth1", rtnl.ARPNotify) },
		writes: true,
		probe:  "sysctl net.ipv4.conf.all net.ipv4.conf.default net.ipv4.conf.veth1 net.ipv4.conf.veth2",
	},
	{
		name:   "set route_localnet",
		setup:  aBridge,
		req:    func(t *testing.T, w world) nl.Request { return rtnl.Set(w.index(t, "br0"), "br0", rtnl.RouteLocalnet) },
		writes: true,
		probe:  "sysctl net.ipv4.conf.all net.ipv4.conf.default net.ipv4.conf.br0 net.ipv4.conf.lo",
	},
	{
		name:  "announce",
		setup: aPair,
		req:   func(t *testing.T, w world) nl.Request { return rtnl.Announce(w.index(t, "veth1"), "veth1", mac1) },
	},
	{
		name:  "addrgenmode none",
		setup: aPair + "ip link set dev veth1 addrgenmode eui64; ",
		req: func(t *testing.T, w world) nl.Request {
			return rtnl.SetAddrGenMode(w.index(t, "veth1"), "veth1", rtnl.None)
		},
	},
	{
		name:  "addrgenmode eui64",
		setup: aPair,
		req: func(t *testing.T, w world) nl.Request {
			return rtnl.SetAddrGenMode(w.index(t, "veth1"), "veth1", rtnl.EUI64)
		},
	},
	{
		name: "bridge",
		req:  func(*testing.T, world) nl.Request { return rtnl.Bridge("br0", mac1) },
		differ: []difference{
			{"linkinfo/kind", `"bridge"`, `"bridge\x00"`, nul},
		},
	},
	{
		name: "bridge of a group",
		req:  func(*testing.T, world) nl.Request { return rtnl.GroupedBridge("br0", mac1, 0x6d61696e) },
		differ: []difference{
			{"linkinfo/kind", `"bridge"`, `"bridge\x00"`, nul},
		},
	},
	{
		name:  "port with everything",
		setup: aPort,
		req: func(*testing.T, world) nl.Request {
			return rtnl.SetPort(rtnl.Port{Name: "veth1", Alias: nasty, Hairpin: true, Isolated: true, Guard: true, ForwardGroups: 0xfffd})
		},
		differ: []difference{
			{"index", "*", "0", byName},
			{"ifname", "", `"veth1\x00"`, byName},
			{"linkinfo/kind", `"bridge_slave"`, "", "a kind that no kernel has, and that it passes over for a link that is there"},
			{"linkinfo/slave_kind", "", `"bridge\x00"`, "the attribute that is meant for it, as the kernel's own answers have it"},
		},
	},
	{
		name:  "port with nothing",
		setup: aPort + "ip link set dev veth1 type bridge_slave hairpin on guard on isolated on group_fwd_mask 0xfffd; ",
		req:   func(*testing.T, world) nl.Request { return rtnl.SetPort(rtnl.Port{Name: "veth1", Alias: "plain"}) },
		differ: []difference{
			{"index", "*", "0", byName},
			{"ifname", "", `"veth1\x00"`, byName},
			{"linkinfo/kind", `"bridge_slave"`, "", "a kind that no kernel has, and that it passes over for a link that is there"},
			{"linkinfo/slave_kind", "", `"bridge\x00"`, "the attribute that is meant for it, as the kernel's own answers have it"},
		},
	},
	{
		name:  "veth",
		setup: aBridge,
		req: func(t *testing.T, w world) nl.Request {
			return rtnl.Veth("veth1", nil, "br0", w.index(t, "br0"), 0, rtnl.VethPeer{Name: "eth0", PID: w.pid})
		},
		differ: []difference{
			{"linkinfo/kind", `"veth"`, `"veth\x00"`, nul},
		},
	},
	{
		name:  "veth with everything",
		setup: aBridge,
		req: func(t *testing.T, w world) nl.Request {
			return rtnl.Veth("veth1", nil, "br0", w.index(t, "br0"), 1400,
				rtnl.VethPeer{Name: "eth0", MAC: mac2, PID: w.pid})
		},
		differ: []difference{
			{"linkinfo/kind", `"veth"`, `"veth\x00"`, nul},
		},
	},
	{
		name:  "address",
		setup: aBridge,
		req:   address("172.16.0.30/20"),
	},
	{
		name:  "address of a /31",
		setup: aBridge,
		req:   address("10.0.0.0/31"),
	},
	{
		name:  "address of a /32",
		setup: aBridge,
		req:   address("10.0.0.1/32"),
	},
	{
		name:  "IPv6 address",
		setup: aBridge,
		req:   address("fd00::1e/64"),
		differ: []difference{
			{"ifa_flags", "2", "0", "the header has room for the first 8 flags alone, and the attribute goes before it"},
			{"flags", "", "2", "IFA_F_NODAD, in the attribute"},
			{"local", "*", "", "without a peer the kernel takes the address for it (inet6_rtm_newaddr)"},
		},
	},
	{
		name:  "default route",
		setup: aBridge + "ip addr add 172.16.0.30/24 dev br0; ",
		req:   defaultRoute("172.16.0.100"),
	},
	{
		name:  "IPv6 default route",
		setup: aBridge + "ip addr add fd00::1e/64 dev br0 nodad; ",
		req:   defaultRoute("fd00::64"),
	},
	{
		name:  "probe",
		setup: aSubnet,
		req:   probe("172.16.0.30"),
		probe: neighbours,
	},
	{
		name:  "IPv6 probe",
		setup: aSubnet,
		req:   probe("fd00::1e"),
		probe: neighbours,
	},
	{
		name:   "delete neighbour",
		setup:  aSubnet + aNeighbour,
		req:    deleteNeighbour("172.16.0.30"),
		differ: []difference{{"state", "128", "0", noState}},
		probe:  neighbours,
	},
	{
		name:   "delete IPv6 neighbour",
		setup:  aSubnet + aNeighbour,
		req:    deleteNeighbour("fd00::1e"),
		differ: []difference{{"state", "128", "0", noState}},
		probe:  neighbours,
	},
}

// aSubnet is a bridge with addresses, and a link-local one to ask from. Nobody
// else is on it.
const aSubnet = aPort + "ip addr add 172.16.0.100/24 dev br0; ip addr add fd00::64/64 dev br0 nodad;" +
	" ip addr add fe80::1/64 dev br0 nodad; "

// neighbours is the script that tells which neighbours a link is asking for or
// knows, but not how far it is with that.
const neighbours = "ip neigh show dev br0 | cut -d' ' -f1"

const aNeighbour = "ip neigh add 172.16.0.30 lladdr 02:00:5e:00:00:09 dev br0;" +
	" ip neigh add fd00::1e lladdr 02:00:5e:00:00:09 dev br0; "

func probe(a string) func(*testing.T, world) nl.Request {
	return func(t *testing.T, w world) nl.Request {
		return rtnl.Probe(w.index(t, "br0"), "br0", netip.MustParseAddr(a))
	}
}

func deleteNeighbour(a string) func(*testing.T, world) nl.Request {
	return func(t *testing.T, w world) nl.Request {
		return rtnl.DeleteNeighbour(w.index(t, "br0"), "br0", netip.MustParseAddr(a))
	}
}

func address(cidr string) func(*testing.T, world) nl.Request {
	return func(t *testing.T, w world) nl.Request {
		return rtnl.Address(w.index(t, "br0"), "br0", netip.MustParsePrefix(cidr))
	}
}

func defaultRoute(gateway string) func(*testing.T, world) nl.Request {
	return func(*testing.T, world) nl.Request { return rtnl.DefaultRoute(netip.MustParseAddr(gateway)) }
}

// question is a request that asks for something.
type question struct {
	name   string
	req    func(t *testing.T, w world) nl.Request
	differ []difference
}

const (
	extMask = "ip asks for a network card's virtual functions (RTEXT_FILTER_VF), here for an" +
		" answer without the counters of IPv6 (RTEXT_FILTER_SKIP_STATS)"
	packet = "ip asks for AF_PACKET, which the kernel answers as it does AF_UNSPEC"
)

var questions = []question{
	{
		name: "link by name",
		req:  func(*testing.T, world) nl.Request { return rtnl.GetLink("br0") },
		differ: []difference{
			{"family", "17", "0", packet},
			{"ext_mask", "1", "8", extMask},
		},
	},
	{
		name: "link by index",
		req:  func(t *testing.T, w world) nl.Request { return rtnl.GetLinkIndex(w.index(t, "br0")) },
		differ: []difference{
			{"message flags", "request|0x300", "request", "ip has no word for an index: it asks for all, and grep finds the one"},
			{"family", "17", "0", packet},
			{"index", "0", "*", "the same"},
			{"ext_mask", "1", "8", extMask},
		},
	},
	{
		name: "links",
		req:  func(*testing.T, world) nl.Request { return rtnl.GetLinks() },
		differ: []difference{
			{"family", "17", "0", packet},
			{"ext_mask", "1", "8", extMask},
		},
	},
	{
		name: "ports",
		req: func(t *testing.T, w world) nl.Request {
			return rtnl.GetPorts(w.index(t, "br0"), "br0")
		},
		differ: []difference{
			{"family", "17", "0", packet},
			{"ext_mask", "1", "8", extMask},
		},
	},
	{
		name: "addresses",
		req:  func(*testing.T, world) nl.Request { return rtnl.GetAddresses(unix.AF_UNSPEC) },
	},
	{
		name: "IPv4 addresses",
		req:  func(*testing.T, world) nl.Request { return rtnl.GetAddresses(unix.AF_INET) },
	},
	{
		name: "IPv6 addresses",
		req:  func(*testing.T, world) nl.Request { return rtnl.GetAddresses(unix.AF_INET6) },
	},
	{
		name: "neighbour",
		req: func(t *testing.T, w world) nl.Request {
			return rtnl.GetNeighbour(w.index(t, "br0"), "br0", netip.MustParseAddr("172.16.0.30"))
		},
	},
	{
		name: "IPv6 neighbour",
		req: func(t *testing.T, w world) nl.Request {
			return rtnl.GetNeighbour(w.index(t, "br0"), "br0", netip.MustParseAddr("fd00::1e"))
		},
	},
	{
		name: "forwarding",
		req: func(t *testing.T, w world) nl.Request {
			return rtnl.GetForwarding(w.index(t, "br0"), "br0", mac1)
		},
	},
	{
		name:   "route",
		req:    func(*testing.T, world) nl.Request { return rtnl.GetRoute(netip.MustParseAddr("172.16.0.30")) },
		differ: []difference{{"flags", fmt.Sprint(unix.RTM_F_LOOKUP_TABLE), "0", "ip wants to be told the table"}},
	},
	{
		name: "IPv6 route",
		req:  func(*testing.T, world) nl.Request { return rtnl.GetRoute(netip.MustParseAddr("fd00::1e")) },
	},
}
