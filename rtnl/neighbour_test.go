//go:build linux

package rtnl_test

import (
	"errors"
	"net/netip"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"container/nl"
	"container/rtnl"
)

var (
	there  = netip.MustParseAddr("172.16.0.30")
	there6 = netip.MustParseAddr("fd00::1e")
)

// newSubnet is a bridge with a neighbour on it, who has the addresses there
// and there6, and mac2:
//
//	br0 172.16.0.100/24 fd00::64/64 fe80::1/64
//	 └ veth1 ── eth0 172.16.0.30/24 fd00::1e/64
func newSubnet(t *testing.T) (w world, br0 uint32) {
	t.Helper()
	w = newWorld(t, "ip link add name br0 address 02:00:5e:00:00:01 up type bridge;"+
		" ip addr add 172.16.0.100/24 dev br0; ip addr add fd00::64/64 dev br0 nodad; ip addr add fe80::1/64 dev br0 nodad; ")
	br0 = w.index(t, "br0")
	w.do(t, rtnl.Veth("veth1", nil, "br0", br0, 0, rtnl.VethPeer{Name: "eth0", MAC: mac2, PID: w.pid}))
	w.peer.sh(t, "ip addr add 172.16.0.30/24 dev eth0; ip addr add fd00::1e/64 dev eth0 nodad; ip link set dev eth0 up")
	w.await(t, "veth1", func(l rtnl.Link) bool { return l.PortState == forwarding })
	w.await(t, "br0", rtnl.Link.IsRunning)
	return w, br0
}

// awaitNeighbour waits until what is known of an address is as it should be.
func (w world) awaitNeighbour(t *testing.T, index uint32, a netip.Addr, done func(rtnl.Neighbour) bool) rtnl.Neighbour {
	t.Helper()
	events := w.dial(t)
	if err := events.Join(unix.RTNLGRP_NEIGH, "neighbours: watch"); err != nil {
		t.Fatal(err)
	}
	// Not for measuring: it makes an answer that never comes a failure, where
	// it would be a test that hangs.
	if err := unix.SetsockoptTimeval(events.FD(), unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 30}); err != nil {
		t.Fatal(err)
	}
	c := w.dial(t)
	for {
		n, err := rtnl.NeighbourOf(c, index, "br0", a)
		if err == nil && done(n) {
			return n
		}
		if err != nil && !errors.Is(err, rtnl.ErrNoNeighbour) {
			t.Fatal(err)
		}
		if _, err := events.Receive("neighbours: watch"); err != nil {
			t.Fatalf("%v is yet %+v: %v", a, n, err)
		}
	}
}

// Who has an address is in the table after Solicit, whatever was there before.
func TestSolicit(t *testing.T) {
	w, br0 := newSubnet(t)
	c := w.dial(t)
	for _, a := range []netip.Addr{there, there6} {
		for _, state := range []string{"", "reachable", "stale", "delay", "probe", "failed", "incomplete"} {
			t.Run(a.String()+" "+state, func(t *testing.T) {
				if state != "" {
					w.sh(t, "ip neigh replace "+a.String()+" lladdr 02:00:5e:00:00:09 dev br0 nud "+state)
				}
				if err := rtnl.Solicit(c, br0, "br0", a); err != nil {
					t.Fatal(err)
				}
				got := w.awaitNeighbour(t, br0, a, rtnl.Neighbour.IsValid)
				want := rtnl.Neighbour{Index: br0, Addr: a, MAC: mac2, State: unix.NUD_REACHABLE}
				if diff := gocmp.Diff(want, got, sameAddr); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
		for state, bits := range map[string]uint16{"permanent": unix.NUD_PERMANENT, "noarp": unix.NUD_NOARP} {
			t.Run(a.String()+" "+state, func(t *testing.T) {
				w.sh(t, "ip neigh replace "+a.String()+" lladdr 02:00:5e:00:00:01 dev br0 nud "+state)
				if err := rtnl.Solicit(c, br0, "br0", a); err != nil {
					t.Fatal(err)
				}
				got, err := rtnl.NeighbourOf(c, br0, "br0", a)
				if err != nil {
					t.Fatal(err)
				}
				want := rtnl.Neighbour{Index: br0, Addr: a, MAC: mac1, State: bits}
				if diff := gocmp.Diff(want, got, sameAddr); diff != "" || !got.IsSet() || !got.IsValid() {
					t.Errorf("(-want +got):\n%s", diff)
				}
				w.do(t, rtnl.DeleteNeighbour(br0, "br0", a))
			})
		}
	}
}

var sameAddr = gocmp.Comparer(func(a, b netip.Addr) bool { return a == b })

// Of an address that nobody has the kernel knows nothing, and goes on asking.
func TestSolicitNobody(t *testing.T) {
	w, br0 := newSubnet(t)
	c := w.dial(t)
	for _, text := range []string{"172.16.0.31", "fd00::1f"} {
		a := netip.MustParseAddr(text)
		if n, err := rtnl.NeighbourOf(c, br0, "br0", a); !errors.Is(err, rtnl.ErrNoNeighbour) {
			t.Errorf("before: got %+v, %v, want ErrNoNeighbour", n, err)
		}
		if err := rtnl.Solicit(c, br0, "br0", a); err != nil {
			t.Fatal(err)
		}
		n, err := rtnl.NeighbourOf(c, br0, "br0", a)
		if err != nil {
			t.Fatal(err)
		}
		if n.State != unix.NUD_INCOMPLETE && n.State != unix.NUD_FAILED || n.IsValid() || n.IsSet() || n.MAC != nil {
			t.Errorf("got %+v", n)
		}
		w.do(t, rtnl.DeleteNeighbour(br0, "br0", a))
		if n, err := rtnl.NeighbourOf(c, br0, "br0", a); !errors.Is(err, rtnl.ErrNoNeighbour) {
			t.Errorf("after: got %+v, %v, want ErrNoNeighbour", n, err)
		}
		if err := c.Do(rtnl.DeleteNeighbour(br0, "br0", a)); !errors.Is(err, unix.ENOENT) {
			t.Errorf("deleted again: got %v, want ENOENT", err)
		}
	}
}

// An address that was asked for in vain, and comes to live and announces
// itself, is known at once: nobody waits for the kernel to ask again.
func TestSolicitThenAnnounce(t *testing.T) {
	w, br0 := newSubnet(t)
	c := w.dial(t)
	// The kernel asks again in eleven days, not in a second.
	w.sh(t, "for f in ipv4 ipv6; do echo 1000000000 >/proc/sys/net/$f/neigh/br0/retrans_time_ms; done")
	late, late6 := netip.MustParseAddr("172.16.0.31"), netip.MustParseAddr("fd00::1f")
	for _, a := range []netip.Addr{late, late6} {
		if err := rtnl.Solicit(c, br0, "br0", a); err != nil {
			t.Fatal(err)
		}
	}
	w.peer.sh(t, "ip addr add 172.16.0.31/24 dev eth0; ip addr add fd00::1f/64 dev eth0 nodad;"+
		" echo 1 >/proc/sys/net/ipv4/conf/eth0/arp_notify; echo 1 >/proc/sys/net/ipv6/conf/eth0/ndisc_notify")
	w.peer.do(t, rtnl.Announce(w.peer.index(t, "eth0"), "eth0", mac2))
	for _, a := range []netip.Addr{late, late6} {
		// REACHABLE is what it would be if it had answered.
		n := w.awaitNeighbour(t, br0, a, rtnl.Neighbour.IsValid)
		if n.State != unix.NUD_STALE || n.MAC.String() != mac2.String() {
			t.Errorf("%v: got %+v", a, n)
		}
	}
}

func TestPortOf(t *testing.T) {
	w, br0 := newSubnet(t)
	c := w.dial(t)
	if err := rtnl.Solicit(c, br0, "br0", there); err != nil { // its answer is what the bridge learns by
		t.Fatal(err)
	}
	w.awaitNeighbour(t, br0, there, rtnl.Neighbour.IsValid)
	if i, err := rtnl.PortOf(c, br0, "br0", mac2); err != nil || i != w.index(t, "veth1") {
		t.Errorf("the neighbour's: got %d, %v, want %d", i, err, w.index(t, "veth1"))
	}
	if i, err := rtnl.PortOf(c, br0, "br0", mac1); err != nil || i != br0 {
		t.Errorf("the bridge's own: got %d, %v, want %d", i, err, br0)
	}
	if i, err := rtnl.PortOf(c, br0, "br0", []byte{2, 0, 0x5e, 0, 0, 9}); !errors.Is(err, rtnl.ErrNoNeighbour) {
		t.Errorf("nobody's: got %d, %v, want ErrNoNeighbour", i, err)
	}
	var e *nl.Error
	if _, err := rtnl.PortOf(c, w.index(t, "veth1"), "veth1", mac2); !errors.As(err, &e) {
		t.Errorf("of what is no bridge: got %v, want the kernel's refusal", err)
	}
}

func TestRouteTo(t *testing.T) {
	w, br0 := newSubnet(t)
	w.sh(t, `set -e
		ip route add default via 172.16.0.30
		ip route add 192.0.2.0/24 via 172.16.0.30 mtu 1400
		ip route add blackhole 198.51.100.0/26
		ip route add unreachable 198.51.100.64/26
		ip route add prohibit 198.51.100.128/26
		ip route add throw 198.51.100.192/26
		ip route add 2001:db8:1::/64 via fd00::1e
		ip route add 2001:db8:2::/64 via fd00::1e mtu 1300
		ip -6 route add blackhole 2001:db8:3::/64
		ip -6 route add unreachable 2001:db8:4::/64
		ip -6 route add prohibit 2001:db8:5::/64
		ip link set dev lo up`)
	c := w.dial(t)
	for dst, want := range map[string]rtnl.Route{
		"172.16.0.7":    {Index: br0},
		"203.0.113.1":   {Index: br0, Gateway: there},
		"192.0.2.1":     {Index: br0, Gateway: there, MTU: 1400},
		"172.16.0.100":  {Index: rtnl.LoopbackIndex, Local: true},
		"fd00::7":       {Index: br0},
		"2001:db8:1::1": {Index: br0, Gateway: there6},
		"2001:db8:2::1": {Index: br0, Gateway: there6, MTU: 1300},
	} {
		got, err := rtnl.RouteTo(c, netip.MustParseAddr(dst))
		if err != nil {
			t.Errorf("%s: %v", dst, err)
		}
		if diff := gocmp.Diff(want, got, sameAddr); diff != "" {
			t.Errorf("%s (-want +got):\n%s", dst, diff)
		}
	}
	for _, dst := range []string{
		"198.51.100.1", "198.51.100.65", "198.51.100.129", "198.51.100.193",
		"2001:db8:3::1", "2001:db8:4::1", "2001:db8:5::1", "2001:db8:6::1",
	} {
		if got, err := rtnl.RouteTo(c, netip.MustParseAddr(dst)); !errors.Is(err, rtnl.ErrNoRoute) {
			t.Errorf("%s: got %+v, %v, want ErrNoRoute", dst, got, err)
		}
	}
	w.sh(t, "ip route del default")
	if got, err := rtnl.RouteTo(c, netip.MustParseAddr("203.0.113.1")); !errors.Is(err, rtnl.ErrNoRoute) {
		t.Errorf("without a default route: got %+v, %v, want ErrNoRoute", got, err)
	}
}
