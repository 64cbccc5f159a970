//go:build linux

package integration

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"container/integration/lab"
	"container/integration/need"
)

// IPv6 addresses of the tests; the lab's are in its drawing.
const (
	hostAddr6    = "fd00:10::1"
	outsideAddr6 = "fd00:10::2"
	bridgeAddr6  = "fd00:16::100"
	addr30v6     = "fd00:16::30"
	addr31v6     = "fd00:16::31"
	gateway6     = bridgeAddr6 + "/64"
	dualGateway  = bridgeAddr + "/24," + gateway6
)

// at is an IPv6 address with a port.
func at(addr string, port int) string { return fmt.Sprintf("[%s]:%d", addr, port) }

// host6 is a lab with a host whose containers have IPv6: alone, or along with
// IPv4.
type host6 struct {
	*lab.Lab
	alone bool
}

// args is the flags and the address of a container at 172.16.0.N, fd00:16::N.
func (h host6) args(last int, flags ...string) []string {
	if h.alone {
		return words(flags, []string{"-gateway", gateway6, fmt.Sprintf("fd00:16::%d", last)})
	}
	return words(flags, []string{"-gateway", dualGateway, fmt.Sprintf("172.16.0.%d,fd00:16::%d", last, last)})
}

// container runs an agent there.
func (h host6) container(t *testing.T, last int, flags ...string) *lab.Agent {
	t.Helper()
	return h.Host.Container(t, h.args(last, flags...)...)
}

// newHost6 is a host as most are, whose links get a link-local address of their
// own by and by, or one without (as NetworkManager has them).
func newHost6(t *testing.T, alone, linkLocal bool) host6 {
	t.Helper()
	l := lab.New(t)
	lab.NeedFile(t, l.Host, "/proc/sys/"+forwarding6)
	if linkLocal {
		l.Host.SetSysctl("net/ipv6/conf/default/addr_gen_mode", "0") // IN6_ADDR_GEN_MODE_EUI64
	}
	return host6{l, alone}
}

const (
	forwarding6     = "net/ipv6/conf/all/forwarding"
	nfCallIP6Tables = "net/bridge/bridge-nf-call-ip6tables"
)

// onEveryHost6 is onEveryHost for IPv6.
func onEveryHost6(t *testing.T, f func(t *testing.T, h host6)) {
	for _, tt := range []struct {
		name             string
		nfCall           string
		alone, linkLocal bool
	}{
		{"dual,bridge-nf-call=0", "0", false, true},
		{"dual,bridge-nf-call=1", "1", false, true},
		{"alone,bridge-nf-call=0,no link-local address", "0", true, false},
		{"alone,bridge-nf-call=1", "1", true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHost6(t, tt.alone, tt.linkLocal)
			lab.NeedFile(t, h.Host, "/proc/sys/"+nfCallIP6Tables)
			h.Host.SetSysctl(nfCallIP6Tables, tt.nfCall)
			h.Host.SetSysctl(nfCallIptables, tt.nfCall)
			f(t, h)
		})
	}
}

// The container's own view: its address, which is not tentative, and its way
// out, when the command starts.
func TestIPv6ContainerNetwork(t *testing.T) {
	t.Parallel()
	want := strings.Join([]string{
		"address ::1/128 dev lo",
		"address fd00:16::30/64 dev veth1",
		"route ::/0 via fd00:16::100 dev veth1",
		"route fd00:16::/64 dev veth1",
		"",
	}, "\n")
	for name, alone := range map[string]bool{"dual": false, "alone": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost6(t, alone, true)
			differ(t, "the IPv6 network", says(t, h.Host.Main(append(h.args(30), lab.Probe(t), "net6")...)), want)
			got := says(t, h.Host.Main(append(h.args(30), lab.Probe(t), "net")...))
			if has := strings.Contains(got, " 172.16.0.30/24"); has == alone {
				t.Errorf("of IPv4 there is\n%s", got)
			}
			if has := strings.Contains(got, "route 0.0.0.0/0 via 172.16.0.100 dev veth1\n"); has == alone {
				t.Errorf("of IPv4 there is\n%s", got)
			}
		})
	}
}

// A container that has not asked for IPv6 has none, but on lo: no address that
// nobody gave it, by which neighbours could reach it.
func TestIPv4Alone(t *testing.T) {
	t.Parallel()
	for _, gateway := range []string{bridgeAddr + "/24", dualGateway} {
		n := newHost6(t, false, true).Host
		c := n.Container(t, "-gateway", gateway, addr30)
		for _, tt := range [][2]string{
			{"net6", "address ::1/128 dev lo"},
			{"net", "interface lo up 127.0.0.1/8 ::1/128\ninterface veth1 up 172.16.0.30/24\nroute 0.0.0.0/0 via 172.16.0.100 dev veth1\nroute 172.16.0.0/24 dev veth1"},
		} {
			if got, err := c.Tell(tt[0]); err != nil || got != tt[1] {
				t.Errorf("%s: %s says %v\n%s", gateway, tt[0], err, got)
			}
		}
		if got, err := c.Tell("read", "/proc/sys/net/ipv6/conf/veth1/accept_ra"); err != nil || got != "0\n" {
			t.Errorf("accept_ra is %q (%v)", got, err)
		}
	}
}

// Nothing of IPv6 is touched for IPv4, and no table of IPv4 made for IPv6.
func TestOneFamilyAlone(t *testing.T) {
	t.Parallel()
	need.Tool(t, "nft")
	for _, tt := range []struct {
		gateway, address    string
		ip, ip6, forwarding string
	}{
		{bridgeAddr + "/24", addr30, "yes", "no", "0"},
		{dualGateway, addr30, "yes", "no", "0"},
		{gateway6, addr30v6, "no", "yes", "1"},
		{dualGateway, addr30v6, "no", "yes", "1"},
		{dualGateway, addr30 + "," + addr30v6, "yes", "yes", "1"},
	} {
		n := newHost6(t, false, true).Host
		n.Container(t, "-gateway", tt.gateway, tt.address)
		ruleset := n.Ruleset()
		for _, table := range []struct{ name, want string }{{"ip", tt.ip}, {"ip6", tt.ip6}} {
			if has := strings.Contains(ruleset, "table "+table.name+" container {"); has != (table.want == "yes") {
				t.Errorf("%s, %s: is table %s container there? %t, want %s", tt.gateway, tt.address, table.name, has, table.want)
			}
		}
		if got := n.Sysctl(forwarding6); got != tt.forwarding {
			t.Errorf("%s, %s: %s is %s, want %s", tt.gateway, tt.address, forwarding6, got, tt.forwarding)
		}
	}
}

// The command's very first packet arrives, and so does the answer; see
// TestFirstPacket.
func TestIPv6FirstPacket(t *testing.T) {
	t.Parallel()
	h := newHost6(t, false, true)
	serve(t, h.Outside.Agent(), "[::]:7")
	serve(t, h.Host.Agent(), "[::]:7")
	last := 0
	for range 3 {
		for _, network := range networks {
			for _, to := range []string{outsideAddr6, bridgeAddr6} {
				lab.Eventually(t, noCarrier(h.Host, "br0"))
				last++
				seenAs := map[string]string{outsideAddr6: hostAddr6, bridgeAddr6: fmt.Sprintf("fd00:16::%d", last)}[to]
				stdout, stderr, status := h.Host.Main(append(h.args(last), lab.Probe(t), "ask", network, at(to, 7), lab.AtOnce)...).Result()
				if status != 0 || stdout != seenAs+"\n" {
					t.Errorf("%s to %s: status %d, seen as %q, want %q\n%s", network, to, status, stdout, seenAs, stderr)
				}
			}
		}
	}
}

// Whoever comes from outside need not wait either, on a host where the bridge
// was made a moment ago: the host must ask for the container's MAC, from an
// address of the bridge that it can use already.
func TestIPv6FirstPacketFromOutside(t *testing.T) {
	t.Parallel()
	for _, linkLocal := range []bool{true, false} {
		t.Run(fmt.Sprintf("link-local=%t", linkLocal), func(t *testing.T) {
			t.Parallel()
			h := newHost6(t, false, linkLocal)
			outside := h.Outside.Agent()
			for i, network := range networks {
				lab.Eventually(t, noCarrier(h.Host, "br0"))
				c := h.container(t, 30+i, both("80:8000")...)
				serve(t, c, "[::]:8000")
				if got, err := outside.AskAtOnce(network, at(hostAddr6, 80)); err != nil || got != outsideAddr6 {
					t.Errorf("%s: seen as %q (%v)", network, got, err)
				}
				c.Stop(t)
				lab.Eventually(t, noPorts(h.Host))
				succeed(t, h.Host.Main("down"))
			}
		})
	}
}

// Whatever leaves for the world does so with the host's address; what stays on
// the bridge, and what the host itself says, is as it was.
func TestIPv6Masquerade(t *testing.T) {
	t.Parallel()
	onEveryHost6(t, func(t *testing.T, h host6) {
		first, second := h.container(t, 30), h.container(t, 31)
		host, outside := h.Host.Agent(), h.Outside.Agent()
		for _, a := range []*lab.Agent{first, second, outside} {
			serve(t, a, "[::]:7")
		}
		serve(t, host, at(hostAddr6, 7))
		serve(t, host, at(bridgeAddr6, 7))

		reaches(t, "container to outside", first, at(outsideAddr6, 7), hostAddr6)
		reaches(t, "container to container", first, at(addr31v6, 7), addr30v6)
		reaches(t, "and back", second, at(addr30v6, 7), addr31v6)
		reaches(t, "container to host", first, at(hostAddr6, 7), addr30v6)
		reaches(t, "container to gateway", first, at(bridgeAddr6, 7), addr30v6)
		reaches(t, "host to container", host, at(addr30v6, 7), bridgeAddr6)
		reaches(t, "host to itself by the bridge's address", host, at(bridgeAddr6, 7), bridgeAddr6)
		reaches(t, "host to outside", host, at(outsideAddr6, 7), hostAddr6)
		reaches(t, "outside to host", outside, at(hostAddr6, 7), outsideAddr6)
		if !h.alone {
			reaches(t, "container to outside, by IPv4", first, outsideAddr+":7", hostAddr)
			reaches(t, "container to container, by IPv4", first, addr31+":7", addr30)
		}
	})
}

// The port is published once, and reached from every place that can name the
// host; see TestPublishedFromEverywhere. What comes by [::1] is the runner's to
// pass on, so it comes from the bridge's address.
func TestIPv6PublishedFromEverywhere(t *testing.T) {
	t.Parallel()
	onEveryHost6(t, func(t *testing.T, h host6) {
		server := h.container(t, 30, both("80:8000")...)
		serve(t, server, "[::]:8000")
		neighbour := h.container(t, 31)
		host, outside := h.Host.Agent(), h.Outside.Agent()

		for _, tt := range []struct {
			name   string
			from   *lab.Agent
			to     string
			seenAs string
		}{
			{"outside to the host", outside, hostAddr6, outsideAddr6},
			{"host to its own address", host, hostAddr6, hostAddr6},
			{"host to the bridge's address", host, bridgeAddr6, bridgeAddr6},
			{"host to ::1", host, "::1", bridgeAddr6},
			{"neighbour to the host", neighbour, hostAddr6, bridgeAddr6},
			{"neighbour to the bridge's address", neighbour, bridgeAddr6, bridgeAddr6},
			{"container to the host, and back to itself", server, hostAddr6, bridgeAddr6},
			{"container to the bridge's address, and back to itself", server, bridgeAddr6, bridgeAddr6},
		} {
			reaches(t, tt.name, tt.from, at(tt.to, 80), tt.seenAs)
		}
		if h.alone {
			closed(t, "host to 127.0.0.1", host, "127.0.0.1:80")
			closed(t, "outside to the host's IPv4 address", outside, hostAddr+":80")
			return
		}
		reaches(t, "outside to the host, by IPv4", outside, hostAddr+":80", outsideAddr)
		reaches(t, "host to 127.0.0.1", host, "127.0.0.1:80", bridgeAddr)
		reaches(t, "neighbour to the host, by IPv4", neighbour, hostAddr+":80", bridgeAddr)
		reaches(t, "container to the host, and back to itself, by IPv4", server, hostAddr+":80", bridgeAddr)
	})
}

// A container without IPv6 has no port of the host's IPv6 addresses, and no
// process of the host is kept from them.
func TestIPv4PublishedByIPv4Alone(t *testing.T) {
	t.Parallel()
	h := newHost6(t, false, true)
	server := h.Host.Container(t, words(both("80:8000"), []string{"-gateway", dualGateway, addr30})...)
	serve(t, server, "[::]:8000")
	host, outside := h.Host.Agent(), h.Outside.Agent()
	reaches(t, "outside", outside, hostAddr+":80", outsideAddr)
	closed(t, "outside", outside, at(hostAddr6, 80))
	closed(t, "host", host, "[::1]:80")
	serve(t, host, at(hostAddr6, 80))
	reaches(t, "outside, to a process of the host", outside, at(hostAddr6, 80), outsideAddr6)
}

// A port that is published on one IPv6 address of the host is there alone.
func TestIPv6PublishedOnOneAddress(t *testing.T) {
	t.Parallel()
	onEveryHost6(t, func(t *testing.T, h host6) {
		server := h.container(t, 30, words(both("["+hostAddr6+"]:80:8000"), both("[::1]:81:8000"), both("["+bridgeAddr6+"]:82:8000"))...)
		serve(t, server, "[::]:8000")
		neighbour := h.container(t, 31)
		host, outside := h.Host.Agent(), h.Outside.Agent()

		reaches(t, "outside", outside, at(hostAddr6, 80), outsideAddr6)
		reaches(t, "host", host, at(hostAddr6, 80), hostAddr6)
		reaches(t, "neighbour", neighbour, at(hostAddr6, 80), bridgeAddr6)
		reaches(t, "container", server, at(hostAddr6, 80), bridgeAddr6)
		closed(t, "host", host, "[::1]:80")
		closed(t, "host", host, at(bridgeAddr6, 80))
		closed(t, "neighbour", neighbour, at(bridgeAddr6, 80))
		closed(t, "host, by IPv4", host, "127.0.0.1:80")
		closed(t, "outside, by IPv4", outside, hostAddr+":80")

		reaches(t, "host", host, "[::1]:81", bridgeAddr6)
		closed(t, "host", host, at(hostAddr6, 81))
		closed(t, "outside", outside, at(hostAddr6, 81))
		closed(t, "neighbour", neighbour, at(hostAddr6, 81))
		closed(t, "neighbour", neighbour, at(bridgeAddr6, 81))
		closed(t, "neighbour to its own loopback address", neighbour, "[::1]:81")
		closed(t, "host, by IPv4", host, "127.0.0.1:81")

		reaches(t, "neighbour", neighbour, at(bridgeAddr6, 82), bridgeAddr6)
		reaches(t, "host", host, at(bridgeAddr6, 82), bridgeAddr6)
		closed(t, "outside", outside, at(hostAddr6, 82))
	})
}

// What the runner passes on from [::1] are conversations: each asker gets its
// own answers, over and over, and the end of the run is their end.
func TestIPv6LoopbackConversations(t *testing.T) {
	t.Parallel()
	h := newHost6(t, false, true)
	server := h.container(t, 30, both("80:8000")...)
	serve(t, server, "[::]:8000")
	var askers []*lab.Agent
	for range 3 {
		c := h.Host.Command(lab.Probe(t), "agent")
		askers = append(askers, lab.StartAgent(t, c))
	}
	for round := range 5 {
		for i, a := range askers {
			for _, network := range networks {
				if got, err := a.Flow(network, "[::1]:80"); err != nil || got != bridgeAddr6 {
					t.Errorf("round %d, asker %d: %s was seen as %q (%v)", round, i, network, got, err)
				}
			}
		}
	}
	server.Stop(t)
	for _, network := range networks {
		if got, err := askers[0].Flow(network, "[::1]:80"); err == nil {
			t.Errorf("after the end, %s was answered (seen as %q)", network, got)
		}
		if err := portFree(h.Host, network, "[::1]:80"); err != nil {
			t.Error(err)
		}
	}
}

// A machine that knows the way to the containers' network, by the host as a
// router, gets no further than the published ports.
func TestIPv6UnpublishedClosed(t *testing.T) {
	t.Parallel()
	onEveryHost6(t, func(t *testing.T, h host6) {
		h.Outside.Route(netip.MustParsePrefix("fd00:16::/64"), netip.MustParseAddr(hostAddr6))
		outside := h.Outside.Agent()
		serve(t, outside, "[::]:7")
		server := h.container(t, 30, both("80:8000")...)
		serve(t, server, "[::]:8000")
		serve(t, server, "[::]:9000")

		closed(t, "outside to a port", outside, at(addr30v6, 9000))
		closed(t, "outside to a published port's inner number", outside, at(addr30v6, 8000))
		closed(t, "outside to a published port's outer number", outside, at(addr30v6, 80))
		closed(t, "outside to the host, a port that is not published", outside, at(hostAddr6, 9000))
		server.HeardNothing(t)

		// What the container begins itself is answered, before and after.
		reaches(t, "container to outside", server, at(outsideAddr6, 7), hostAddr6)
		closed(t, "outside to a port, once the two have talked", outside, at(addr30v6, 9000))
		reaches(t, "outside to the published port", outside, at(hostAddr6, 80), outsideAddr6)
	})
}

// Other machines' ports stay theirs.
func TestIPv6PortsOfOthersUntouched(t *testing.T) {
	t.Parallel()
	onEveryHost6(t, func(t *testing.T, h host6) {
		server, neighbour := h.container(t, 30, both("80:8000")...), h.container(t, 31)
		host, outside := h.Host.Agent(), h.Outside.Agent()
		serve(t, server, "[::]:8000")
		serve(t, outside, "[::]:80")
		serve(t, neighbour, "[::]:80")
		reaches(t, "host to outside", host, at(outsideAddr6, 80), hostAddr6)
		reaches(t, "host to the neighbour", host, at(addr31v6, 80), bridgeAddr6)
		reaches(t, "neighbour to outside", neighbour, at(outsideAddr6, 80), hostAddr6)
		reaches(t, "container to outside", server, at(outsideAddr6, 80), hostAddr6)
		reaches(t, "container to the neighbour", server, at(addr31v6, 80), addr30v6)
		server.HeardNothing(t)
	})
}

// Containers on two bridges are strangers: they meet at published ports alone.
func TestIPv6TwoBridges(t *testing.T) {
	t.Parallel()
	onEveryHost6(t, func(t *testing.T, h host6) {
		const addr, gateway = "fd00:17::30", "fd00:17::100"
		outside := h.Outside.Agent()
		serve(t, outside, "[::]:7")
		first := h.container(t, 30, both("80:8000")...)
		second := h.Host.Container(t, words(both("81:8000"), []string{"-bridge", "br1", "-gateway", gateway + "/64", addr})...)
		for _, a := range []*lab.Agent{first, second} {
			serve(t, a, "[::]:8000")
			serve(t, a, "[::]:9000")
		}
		reaches(t, "the second bridge to outside", second, at(outsideAddr6, 7), hostAddr6)
		reaches(t, "outside to the second bridge", outside, at(hostAddr6, 81), outsideAddr6)
		reaches(t, "host to the second bridge", h.Host.Agent(), "[::1]:81", gateway)

		closed(t, "first to second", first, at(addr, 9000))
		closed(t, "second to first", second, at(addr30v6, 9000))
		closed(t, "first to second, a published port's inner number", first, at(addr, 8000))
		closed(t, "second to first, a published port's inner number", second, at(addr30v6, 8000))

		reaches(t, "first to second, published", first, at(hostAddr6, 81), gateway)
		reaches(t, "second to first, published", second, at(hostAddr6, 80), bridgeAddr6)
	})
}

// A bridge that was made for IPv4 alone gains an IPv6 address when a container
// asks for one, and the containers that are there keep what they have.
func TestIPv6OnABridgeOfIPv4(t *testing.T) {
	t.Parallel()
	h := newHost6(t, false, true)
	before := h.Host.Snapshot()
	first := h.Host.Container(t, words(both("80:8000"), []string{addr30})...)
	serve(t, first, "0.0.0.0:8000")
	second := h.container(t, 31, both("81:8000")...)
	serve(t, second, "[::]:8000")
	outside := h.Outside.Agent()
	reaches(t, "outside to the first", outside, hostAddr+":80", outsideAddr)
	reaches(t, "outside to the second", outside, hostAddr+":81", outsideAddr)
	reaches(t, "outside to the second, by IPv6", outside, at(hostAddr6, 81), outsideAddr6)
	second.Stop(t)
	reaches(t, "outside to the first, alone again", outside, hostAddr+":80", outsideAddr)
	first.Stop(t)
	lab.Eventually(t, func() error { return noVeth(h.Host) })
	succeed(t, h.Host.Main("down"))
	same(t, h.Host, before)
}
