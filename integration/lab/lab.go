//go:build linux

// Package lab builds the machines that the tests need out of network
// namespaces, with the project's own rtnl: no ip(8), no virtual machine.
//
//	 Outside                       Host                             made by ./main
//	┌────────────────┐           ┌────────────────────────┐        ┌──────────────┐
//	│ lo             │           │ lo                 br0 ├──vethX─┤ veth1        │
//	│                │           │        172.16.0.100/24 │        │ 172.16.0.30  │
//	│           eth0 ├───────────┤ eth0   fd00:16::100/64 │        │ fd00:16::30  │
//	│    10.0.0.2/24 │           │ 10.0.0.1/24            │        └──────────────┘
//	│ fd00:10::2/64  │           │ fd00:10::1/64      br0 ├──vethY─ …
//	│    fe80::2/64  │           │ fe80::1/64             │
//	└────────────────┘           └────────────────────────┘
//	 no route to                  default routes:
//	 172.16.0.0/24,               10.0.0.2, fd00:10::2
//	 fd00:16::/64
//
// What runs in a Node is in its network namespace alone; the files, the
// processes and the rest are the machine's. That is enough: /proc/sys/net shows
// each process the settings of its own network namespace.
//
// Nothing is ever sent to, or changed in, the network namespace that the test
// itself was started in. When a test ends, the processes that it started here
// are killed, each by its id, and with the last of them the kernel takes the
// namespaces and all that is in them away.
package lab

import (
	"net/netip"
	"testing"

	"container/integration/need"
	"container/rtnl"
)

// Lab is a host with a machine outside of it.
type Lab struct {
	Host, Outside *Node

	t testing.TB
}

// The addresses of the uplink. Each end has its IPv6 ones where the kernel has
// IPv6; the link-local ones are what a router's neighbours know it by.
var (
	HostPrefix    = netip.MustParsePrefix("10.0.0.1/24")
	OutsidePrefix = netip.MustParsePrefix("10.0.0.2/24")

	HostPrefix6    = netip.MustParsePrefix("fd00:10::1/64")
	OutsidePrefix6 = netip.MustParsePrefix("fd00:10::2/64")
	HostLocal      = netip.MustParsePrefix("fe80::1/64")
	OutsideLocal   = netip.MustParsePrefix("fe80::2/64")
)

// The default routes' prefixes.
var (
	Everything  = netip.MustParsePrefix("0.0.0.0/0")
	Everything6 = netip.MustParsePrefix("::/0")
)

// New builds the lab that is drawn above. It lasts as long as the test. A test
// without the privilege that it takes is skipped (see NeedRoot).
func New(t testing.TB) *Lab {
	t.Helper()
	l := &Lab{t: t}
	l.Host = l.Machine("host")
	l.Outside = l.Machine("outside")
	l.Join(l.Host, "eth0", HostPrefix, l.Outside, "eth0", OutsidePrefix)
	l.Host.Route(Everything, OutsidePrefix.Addr())
	if l.Host.HasIPv6() {
		l.Host.Address("eth0", HostPrefix6, HostLocal)
		l.Outside.Address("eth0", OutsidePrefix6, OutsideLocal)
		l.Host.Route(Everything6, OutsidePrefix6.Addr())
	}
	return l
}

// Machine is a further machine, with nothing but lo. Join connects it.
func (l *Lab) Machine(name string) *Node {
	l.t.Helper()
	need.Root(l.t)
	n, err := newNode(l.t, name)
	if err != nil {
		need.Skip(l.t, "needs a new network namespace: "+err.Error())
	}
	l.t.Cleanup(n.close)
	// Links get no IPv6 address that nobody gave them: it would come some time
	// after the link is up, and be tentative for another while.
	n.trySysctl("net/ipv6/conf/default/addr_gen_mode", "1") // IN6_ADDR_GEN_MODE_NONE
	n.Apply(rtnl.Up(rtnl.LoopbackIndex, "lo"))
	return n
}

// Join lays a cable (a veth pair) between two machines, with an address at
// either end, and returns when both are up.
func (l *Lab) Join(a *Node, aDev string, aPrefix netip.Prefix, b *Node, bDev string, bPrefix netip.Prefix) {
	l.t.Helper()
	a.Apply(rtnl.Veth(aDev, nil, "none", 0, 0, rtnl.VethPeer{Name: bDev, PID: b.tid}))
	b.Apply(
		rtnl.Up(b.Link(bDev).Index, bDev),
		rtnl.Address(b.Link(bDev).Index, bDev, bPrefix),
	)
	a.Apply(rtnl.Address(a.Link(aDev).Index, aDev, aPrefix))
	a.AwaitUp(aDev)
	b.AwaitUp(bDev)
}

// Plug makes a machine a neighbour of the host's containers: a veth pair leads
// from a new port of the bridge to the machine's new link, which has the
// addresses. It returns when both ends are up.
func (l *Lab) Plug(bridge, port string, m *Node, dev string, prefixes ...netip.Prefix) {
	l.t.Helper()
	l.Host.Apply(rtnl.Veth(port, nil, bridge, l.Host.Link(bridge).Index, 0, rtnl.VethPeer{Name: dev, PID: m.tid}))
	m.Apply(rtnl.Up(m.Link(dev).Index, dev))
	m.Address(dev, prefixes...)
	l.Host.AwaitUp(port)
	m.AwaitUp(dev)
}

// Snapshot is the state of host and outside as text; see Node.Snapshot.
func (l *Lab) Snapshot() string { return l.Host.Snapshot() + l.Outside.Snapshot() }
