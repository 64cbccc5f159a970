//go:build linux

// Package lab builds the machines that the tests need out of network
// namespaces, with the project's own rtnl: no ip(8), no virtual machine.
//
//	 Outside                    Host                          made by ./main
//	┌─────────────┐           ┌─────────────────────┐        ┌──────────────┐
//	│ lo          │           │ lo              br0 ├──vethX─┤ veth1        │
//	│             │           │     172.16.0.100/24 │        │ 172.16.0.30  │
//	│        eth0 ├───────────┤ eth0                │        └──────────────┘
//	│ 10.0.0.2/24 │           │ 10.0.0.1/24     br0 ├──vethY─ …
//	└─────────────┘           └─────────────────────┘
//	 no route to               default route: 10.0.0.2
//	 172.16.0.0/24
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

// The addresses of the uplink.
var (
	HostPrefix    = netip.MustParsePrefix("10.0.0.1/24")
	OutsidePrefix = netip.MustParsePrefix("10.0.0.2/24")
)

// New builds the lab that is drawn above. It lasts as long as the test. A test
// without the privilege that it takes is skipped (see NeedRoot).
func New(t testing.TB) *Lab {
	t.Helper()
	l := &Lab{t: t}
	l.Host = l.Machine("host")
	l.Outside = l.Machine("outside")
	l.Join(l.Host, "eth0", HostPrefix, l.Outside, "eth0", OutsidePrefix)
	l.Host.Route(netip.MustParsePrefix("0.0.0.0/0"), OutsidePrefix.Addr())
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
	a.Apply(rtnl.Veth(aDev, "none", 0, 0, rtnl.VethPeer{Name: bDev, PID: b.tid}))
	b.Apply(
		rtnl.Up(b.Link(bDev).Index, bDev),
		rtnl.Address(b.Link(bDev).Index, bDev, bPrefix),
	)
	a.Apply(rtnl.Address(a.Link(aDev).Index, aDev, aPrefix))
	a.AwaitUp(aDev)
	b.AwaitUp(bDev)
}

// Snapshot is the state of host and outside as text; see Node.Snapshot.
func (l *Lab) Snapshot() string { return l.Host.Snapshot() + l.Outside.Snapshot() }
