//go:build linux

package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"container/nat"
	"container/nl"
	"container/rtnl"
)

// insideName is the container's end of its veth, as the article names it.
const insideName = "veth1"

// network is the host's side of a container's network: what a run makes, or
// finds, on the way to a container that can be reached.
type network struct {
	o      *options
	x      *narrator
	stderr io.Writer
	route  *nl.Conn

	// hold makes signals wait. It is called before anything is made that a run that
	// fails takes away again.
	hold func()

	// nat is the one connection to nf_tables that a run has, from beginning to
	// end: whoever closes one waits for RCU, if somebody has deleted something
	// shortly before (see guardian). nil with -nat=false.
	nat *nl.Conn

	br    rtnl.Link
	ours  bool // the bridge was made by us
	found bool // it was by another run

	// networks are those of the bridge's whose gateway is the bridge itself.
	// The others' is a router elsewhere on the wire.
	networks []netip.Prefix

	made      []nat.Family   // whose tables this run has made
	addresses []netip.Prefix // the container's
	mtu       uint32
	mac       net.HardwareAddr
	name      string // of the host's end of the veth
	host      rtnl.Link

	holder    int  // this process, in a lease that it has before there is a veth
	solicited bool // the kernel was told to ask who has the addresses
}

// newNetwork opens the connections that a run has, and chooses what the host has
// no say in.
func newNetwork(o *options, stderr io.Writer, hold func()) (*network, error) {
	route, err := rtnl.Dial(o.x.tracer())
	if err != nil {
		return nil, err
	}
	n := &network{o: o, x: o.x, stderr: stderr, hold: hold, route: route, addresses: o.addresses, mtu: o.mtu, mac: o.mac}
	if o.nat {
		err := withModules(o.x, natModules, func() (err error) {
			n.nat, err = nat.Dial(o.x.tracer())
			return err
		})
		if err != nil {
			n.close()
			return nil, err
		}
	}
	if n.mac == nil {
		n.mac = randomMAC()
	}
	n.name = vethName()
	return n, nil
}

func (n *network) close() {
	if n == nil {
		return
	}
	n.route.Close()
	if n.nat != nil {
		n.nat.Close()
	}
}

// ready makes the host ready for a container: its bridge, and an address that
// nobody has.
func (n *network) ready(u *undo) (err error) {
	if n == nil {
		return nil
	}
	if err := n.findBridge(u); err != nil {
		return err
	}
	u.add(n.dropMade)
	if len(n.o.ports) > 0 && len(n.networks) == 0 {
		return fmt.Errorf("-p %s: bridge %s leads to the gateway %s, which is not this host: the container is reached at its own address",
			n.o.ports[0], n.br.Name, n.gateways()[0].Addr())
	}
	if n.o.auto {
		if err := n.choose(u); err != nil {
			return err
		}
	}
	if n.mtu == 0 {
		if n.mtu, err = n.uplinkMTU(); err != nil {
			return err
		}
		// An uplink that is smaller has IPv6 in fragments, or not at all; a
		// bridge whose port is smaller loses its IPv6 addresses.
		if n.mtu != 0 && n.o.hasIPv6() {
			n.mtu = max(n.mtu, ipv6MinMTU)
		}
	}
	if !n.o.nat {
		n.name = leasedName(n.addresses[0].Addr())
	}
	return n.solicit()
}

// A destination of the world's, to find the uplink by. Nothing is sent there.
var (
	anywhere4 = netip.AddrFrom4([4]byte{1, 1, 1, 1})
	anywhere6 = netip.AddrFrom16([16]byte{0x26, 0x06, 0x47, 0, 0x47, 14: 0x11, 15: 0x11})
)

// uplinkMTU is the MTU of the way to the world; 0, the kernel's choice, if
// there is none. On a bridge with a router elsewhere it is the bridge's.
func (n *network) uplinkMTU() (uint32, error) {
	if len(n.networks) == 0 {
		return n.br.MTU, nil
	}
	for _, dst := range []netip.Addr{anywhere4, anywhere6} {
		way, err := rtnl.RouteTo(n.route, dst)
		if errors.Is(err, rtnl.ErrNoRoute) {
			continue
		}
		if err != nil {
			return 0, err
		}
		l, err := rtnl.Get(n.route, rtnl.GetLinkIndex(way.Index))
		if errors.Is(err, rtnl.ErrNoLink) {
			continue // it has just gone
		}
		if err != nil {
			return 0, err
		}
		if l.MTU > maxVethMTU || l.Index == rtnl.LoopbackIndex {
			continue
		}
		return l.MTU, nil
	}
	return 0, nil
}

// maxVethMTU is ETH_MAX_MTU in linux/if_ether.h.
const maxVethMTU = 65535

// randomMAC is a hardware address as the kernel chooses one
// (eth_random_addr, linux/etherdevice.h): of one host, and assigned by nobody.
func randomMAC() net.HardwareAddr {
	mac := make(net.HardwareAddr, 6)
	random(mac)
	mac[0] = mac[0]&^1 | 2
	return mac
}

// random makes bytes that are unlikely to be another's. For such as are fit for
// keys a machine that has just booted waits a second; for its own hardware
// addresses the kernel doesn't either.
func random(b []byte) {
	// So few come whole (getrandom(2)).
	if _, err := unix.Getrandom(b, unix.GRND_INSECURE); err != nil { // before Linux 5.6
		_, _ = unix.Getrandom(b, 0)
	}
}

// hostMAC is the hardware address of the host's end: the container's with the
// highest first byte that one may have. A bridge of an administrator's that has
// no address of its own takes the lowest of its ports', and so doesn't change
// it with each container.
func hostMAC(inside net.HardwareAddr) net.HardwareAddr {
	first := byte(0xfe)
	if inside[0] == first {
		first = 0xfa // not the same as the container's
	}
	return append(net.HardwareAddr{first}, inside[1:]...)
}

// makeVeth makes the pair: the host's end, with its name, on the bridge and the
// other in the network namespace of the process pid.
func (n *network) makeVeth(pid int) error {
	peer := rtnl.VethPeer{Name: insideName, PID: pid, MAC: n.mac}
	who := occupant{addresses: addrs(n.addresses), pid: pid, command: strings.Join(n.o.argv, " "), nat: n.o.nat}
	reqs := []nl.Request{
		rtnl.Veth(n.name, hostMAC(n.mac), n.br.Name, n.br.Index, n.mtu, peer),
		rtnl.SetPort(rtnl.Port{Name: n.name, Alias: who.alias(), Hairpin: true, Guard: true, ForwardGroups: forwardedGroups(n.o.nat)}),
	}
	if !n.o.nat {
		// The name may be another's veth, which is to be left alone: where one
		// request of several fails, rtnetlink goes on with the next.
		if err := withModules(n.x, linkModules, func() error { return n.route.Do(reqs[0]) }); err != nil {
			return err
		}
		reqs = reqs[1:]
	}
	err := withModules(n.x, linkModules, func() error { return n.route.Do(reqs...) })
	if err != nil {
		return err
	}
	if n.host, err = rtnl.Get(n.route, rtnl.GetLink(n.name)); err != nil {
		return fmt.Errorf("link %s: %w", n.name, err)
	}
	return nil
}

// groupName is a name for a container's cgroup.
func (n *network) groupName() string {
	switch {
	case n == nil:
		return vethName()
	case !n.o.nat:
		return leasedName(n.addresses[0].Addr())
	}
	return n.name
}

// survey takes the inventory, over the run's own connections.
func (n *network) survey() (*inventory, error) { return (&kernel{n.route, n.nat, n.x}).survey() }

// vethPrefix is what the name of every veth begins with, at the host's end.
const vethPrefix = "veth"

// vethName is a name for the host's end that no other run has or had lately:
// a veth goes away some milliseconds after its container, so a name that is
// made of the address would still be taken.
func vethName() string {
	var b [4]byte
	random(b[:])
	return vethPrefix + hex.EncodeToString(b[:])
}

// removeVeth deletes a pair by its host's end, if the kernel has not yet.
func removeVeth(x *narrator, host rtnl.Link) error {
	c, err := rtnl.Dial(x.tracer())
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Do(rtnl.DeleteLink(host.Index, host.Name))
}

// attach connects a container whose first process waits: the veth, the leases
// and ports with a guardian over them, and the container's own addresses and
// routes. Without nf_tables there is no need of a guardian.
func (n *network) attach(b *box, g *guardian, u *undo) (err error) {
	// What is missing then may be so because the container has ended.
	defer func() {
		if err != nil {
			err = b.lastWord(err)
		}
	}()
	if err := n.connect(b.pid, u); err != nil {
		return err
	}
	if err := n.refuseAnswered(); err != nil {
		return err
	}
	if err := n.claim(g); err != nil {
		return err
	}
	return n.join(b)
}

// connect makes the veth, a port of a bridge that stays.
func (n *network) connect(pid int, u *undo) error {
	for try := 1; ; try++ {
		err := n.makeVeth(pid)
		if errors.Is(err, unix.EEXIST) && !n.o.nat {
			// The name is the lease.
			if err = n.awaitName(); err == nil {
				err = n.makeVeth(pid)
			}
		}
		made := err == nil
		if made && n.found {
			err = n.remains()
		}
		if err == nil {
			// The kernel takes it away in its own time; until then it would
			// keep the bridge from being idle.
			u.add(func() { _ = removeVeth(n.x, n.host) })
			return nil
		}
		gone := !errors.Is(err, unix.EEXIST) && n.isGone(err)
		if try == tries || !gone {
			if made {
				err = errors.Join(err, removeVeth(n.x, n.host))
			}
			return err
		}
		// It may have been made, and have lost its bridge before it was set up.
		if l, err := rtnl.Get(n.route, rtnl.GetLink(n.name)); err == nil {
			if err := removeVeth(n.x, l); err != nil && !errors.Is(err, unix.ENODEV) {
				return err
			}
		}
		// Whose it was has failed.
		if err := n.findBridge(u); err != nil {
			return err
		}
		if err := n.solicit(); err != nil {
			return err
		}
	}
}

// join makes a container a host of its network.
func (n *network) join(b *box) error {
	inside, err := b.socket(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer inside.Close()
	veth, err := n.configure(inside)
	if err != nil {
		return err
	}
	if err := awaitPort(n.route, n.br, n.host); err != nil {
		return err
	}
	// To a neighbour the address may have been somebody else's a moment ago.
	return inside.Do(rtnl.Announce(veth.Index, veth.Name, veth.MAC))
}

// configure gives the container's end its addresses and routes, over a socket
// of the container's network namespace, and returns it.
func (n *network) configure(c *nl.Conn) (rtnl.Link, error) {
	// Its index is 2, unless the kernel puts links of its own into every new
	// namespace (tunl0, sit0; sysctl net.core.fb_tunnels_only_for_init_net).
	l, err := rtnl.Get(c, rtnl.GetLink(insideName))
	if err != nil {
		return l, err
	}
	reqs := []nl.Request{
		rtnl.Up(rtnl.LoopbackIndex, "lo"),
		rtnl.Set(l.Index, l.Name, rtnl.ARPNotify),
	}
	// The guard knows the link-local address that is made of the hardware
	// address, and the kernel may be set to make others. A container without
	// IPv6 has none.
	mode := rtnl.None
	if n.o.hasIPv6() {
		mode = rtnl.EUI64
	}
	if kernelHasIPv6() && (n.mtu == 0 || n.mtu >= ipv6MinMTU) {
		reqs = append(reqs, rtnl.SetAddrGenMode(l.Index, l.Name, mode))
	}
	reqs = append(reqs, rtnl.Up(l.Index, l.Name))
	for _, p := range n.addresses {
		reqs = append(reqs, rtnl.Address(l.Index, l.Name, p))
	}
	for _, p := range n.addresses {
		reqs = append(reqs, rtnl.DefaultRoute(n.o.gateway(p.Addr()).Addr()))
	}
	err = c.Do(reqs...)
	for _, p := range n.addresses {
		if err == nil && p.Addr().Is6() {
			err = rtnl.AwaitLocal(c, p.Addr())
		}
	}
	if err != nil {
		return l, fmt.Errorf("in the container's network namespace: %w", err)
	}
	return l, nil
}

// kernelHasIPv6 tells whether links have an IPv6 side at all. (/proc/sys/net/ipv6
// would tell as well. But a mount of proc holds that directory once for each
// network namespace that it was looked up in, one behind the other: with a
// thousand containers a look took 1.5 ms.)
func kernelHasIPv6() bool { return unix.Access("/proc/thread-self/net/if_inet6", unix.F_OK) == nil }

// awaitPort returns when packets pass between the container and the host.
//
// The kernel notices that a link has a carrier in a work queue
// (net/core/link_watch.c). Until then the bridge drops what comes by the new
// port: the announcement, and the command's first packet, which would be sent
// again after a second. The bridge itself has a carrier only with a live port
// (br_port_state_selection, net/bridge/br_stp.c); if this one is the first, what
// the host sends by the bridge is dropped until its carrier is noticed too: the
// answer to that packet. Since Linux 6.13 asking for a link has the work done
// first (linkwatch_sync_dev); before, the notification is waited for.
func awaitPort(c *nl.Conn, br, host rtnl.Link) error {
	err := await(c, host.Index, func(l rtnl.Link) (bool, error) {
		if l.Master == 0 {
			return false, fmt.Errorf("link %s: it was taken off bridge %s", host.Name, br.Name)
		}
		return l.PortState == rtnl.Forwarding, nil
	})
	if err != nil {
		return err
	}
	err = await(c, br.Index, func(l rtnl.Link) (bool, error) { return l.IsRunning(), stays(l) })
	if errors.Is(err, rtnl.ErrNoLink) {
		return errCameBetween(br.Name)
	}
	return err
}

// await returns when a link is ready.
func await(c *nl.Conn, index uint32, ready func(rtnl.Link) (bool, error)) error {
	l, err := rtnl.Get(c, rtnl.GetLinkIndex(index))
	if err != nil {
		return err
	}
	if ok, err := ready(l); ok || err != nil {
		return err
	}
	w, err := rtnl.Watch(c.Tracer())
	if err != nil {
		return err
	}
	defer w.Close()
	// What happened before the watch began is not told, so ask once more.
	for l, err = rtnl.Get(c, rtnl.GetLinkIndex(index)); err == nil; l, err = w.Next(index) {
		if ok, err := ready(l); ok || err != nil {
			return err
		}
	}
	return err
}
