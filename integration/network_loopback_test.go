//go:build linux

package integration

import (
	"net/netip"
	"testing"

	"container/integration/lab"
)

// The host has services that listen at 127.0.0.1, or that trust who comes from
// there. A published port's way from 127.0.0.1 to a container needs
// route_localnet on the bridge, which would let every container in the other
// way (CVE-2020-8558).
func TestLoopbackServicesClosed(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		container := l.Host.Container(t, words(both("80:8000"), []string{addr30})...)
		serve(t, container, "0.0.0.0:8000")
		host, outside := l.Host.Agent(), l.Outside.Agent()
		host.Serve(t, "udp", "127.0.0.1:631")
		host.Serve(t, "udp", "0.0.0.0:632")

		bridgeMAC := l.Host.Link("br0").MAC.String()
		uplinkMAC := l.Host.Link("eth0").MAC.String()
		for _, tt := range []struct {
			name      string
			from      *lab.Agent
			dev, mac  string
			own, host string
		}{
			{"container", container, "veth1", bridgeMAC, addr30, bridgeAddr},
			{"outside", outside, "eth0", uplinkMAC, outsideAddr, hostAddr},
		} {
			send := func(from, to, text string) {
				t.Helper()
				if _, err := tt.from.Tell("packet", tt.dev, tt.mac, from, to, text); err != nil {
					t.Fatal(err)
				}
			}
			send(tt.own+":1000", "127.0.0.1:631", "to 127.0.0.1 by the wire")
			send("127.0.0.1:1000", tt.host+":632", "from 127.0.0.1 by the wire")
			// The kernel takes no packet from an address that it has itself; of
			// the other loopback addresses it has none.
			send("127.0.0.2:1000", tt.host+":632", "from 127.0.0.2 by the wire")
			send("127.0.0.1:1000", "127.0.0.1:631", "between loopback addresses by the wire")
			// The same by honest addresses arrives, and nothing before it.
			send(tt.own+":1000", tt.host+":632", "honest")
			got, err := host.Heard()
			if want := "udp " + tt.own + " honest"; err != nil || got != want {
				t.Errorf("%s: the host heard %q (%v), want %q", tt.name, got, err, want)
			}
		}
		container.HeardNothing(t)
	})
}

// A port that is published at a loopback address is the host's alone. The
// kernel's own check of such packets comes after their destination is
// rewritten, so it does not help (moby/moby#45610).
func TestLoopbackPublishedClosed(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		server := l.Host.Container(t, words(both("127.0.0.9:80:8000"), both("81:8000"), []string{addr30})...)
		serve(t, server, "0.0.0.0:8000")
		neighbour := l.Host.Container(t, addr31)
		outside := l.Outside.Agent()

		for _, tt := range []struct {
			from     *lab.Agent
			dev, mac string
			own      string
			honest   string // an address that the other port is published at
			seenAs   string
		}{
			{outside, "eth0", l.Host.Link("eth0").MAC.String(), outsideAddr, hostAddr, outsideAddr},
			{neighbour, "veth1", l.Host.Link("br0").MAC.String(), addr31, bridgeAddr, bridgeAddr},
		} {
			send := func(from, to, text string) {
				t.Helper()
				if _, err := tt.from.Tell("packet", tt.dev, tt.mac, from, to, text); err != nil {
					t.Fatal(err)
				}
			}
			send(tt.own+":1000", "127.0.0.9:80", "to 127.0.0.9 by the wire")
			send(tt.own+":1000", "127.0.0.1:81", "to 127.0.0.1 by the wire")
			send("127.0.0.1:1000", tt.honest+":81", "from 127.0.0.1 by the wire")
			send("127.0.0.2:1000", tt.honest+":81", "from 127.0.0.2 by the wire")
			send(tt.own+":1000", tt.honest+":81", "honest")
			got, err := server.Heard()
			if want := "udp " + tt.seenAs + " honest"; err != nil || got != want {
				t.Errorf("the container heard %q (%v), want %q", got, err, want)
			}
		}
		reaches(t, "host", l.Host.Agent(), "127.0.0.9:80", bridgeAddr)
	})
}

// The whole attack, by TCP: a neighbour of the host takes 127.0.0.9 for an
// address behind the host, and would even listen to its answers.
func TestLoopbackRouted(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	server := l.Host.Container(t, words(both("127.0.0.9:80:8000"), []string{addr30})...)
	serve(t, server, "0.0.0.0:8000")

	attacker := l.Outside
	attacker.Unloop()
	attacker.SetSysctl("net/ipv4/conf/eth0/route_localnet", "1")
	attacker.SetSysctl("net/ipv4/conf/all/rp_filter", "0")
	attacker.Route(netip.MustParsePrefix("127.0.0.9/32"), netip.MustParseAddr(hostAddr))
	closed(t, "outside", attacker.Agent(), "127.0.0.9:80")
	server.HeardNothing(t)
}
