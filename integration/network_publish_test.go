//go:build linux

package integration

import (
	"net/netip"
	"testing"

	"container/integration/lab"
)

// Addresses of the tests. The bridge's is the default of -gateway.
const (
	hostAddr    = "10.0.0.1"
	outsideAddr = "10.0.0.2"
	bridgeAddr  = "172.16.0.100"
	addr30      = "172.16.0.30"
	addr31      = "172.16.0.31"
)

// networks are the protocols that everything is tried with.
var networks = []string{"tcp", "udp"}

// onEveryHost runs a test on hosts that differ in what changes a packet's way:
// whether br_netfilter shows bridged frames to the IP hooks, where destinations
// are then rewritten at the bridge already; and whether the kernel drops what
// comes by another link than the one that leads back (rp_filter).
func onEveryHost(t *testing.T, f func(t *testing.T, l *lab.Lab)) {
	for _, tt := range []struct{ name, nfCall, rpFilter string }{
		{"bridge-nf-call-iptables=0", "0", "0"},
		{"bridge-nf-call-iptables=1", "1", "0"},
		{"bridge-nf-call-iptables=1,rp_filter=1", "1", "1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			lab.NeedFile(t, l.Host, "/proc/sys/"+nfCallIptables)
			l.Host.SetSysctl(nfCallIptables, tt.nfCall)
			l.Host.SetSysctl("net/ipv4/conf/all/rp_filter", tt.rpFilter)
			l.Host.SetSysctl("net/ipv4/conf/default/rp_filter", tt.rpFilter)
			f(t, l)
		})
	}
}

const nfCallIptables = "net/bridge/bridge-nf-call-iptables"

// serve answers at an address with both protocols.
func serve(t *testing.T, a *lab.Agent, addr string) {
	t.Helper()
	for _, network := range networks {
		a.Serve(t, network, addr)
	}
}

// reaches asks with both protocols, and checks as whom the other side saw the
// asker.
func reaches(t *testing.T, who string, from *lab.Agent, to, seenAs string) {
	t.Helper()
	for _, network := range networks {
		got, err := from.Ask(network, to)
		if err != nil {
			t.Errorf("%s: %v", who, err)
		} else if got != seenAs {
			t.Errorf("%s: asked %s %s, and was seen as %s, want %s", who, network, to, got, seenAs)
		}
	}
}

// closed checks that asking with either protocol leads nowhere.
func closed(t *testing.T, who string, from *lab.Agent, to string) {
	t.Helper()
	for _, network := range networks {
		if got, err := from.AskBriefly(network, to); err == nil {
			t.Errorf("%s: asked %s %s, and was answered (seen as %s)", who, network, to, got)
		}
	}
}

// both publishes a port with both protocols.
func both(spec string) []string { return []string{"-p", spec, "-p", spec + "/udp"} }

// The port is published once, and reached from every place that can name the
// host. A container must come back as the bridge, for its answer to pass by
// the host; so must 127.0.0.1, which means something else to the container.
// Everybody else is seen as who they are.
func TestPublishedFromEverywhere(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		server := l.Host.Container(t, words(both("80:8000"), []string{addr30})...)
		serve(t, server, "0.0.0.0:8000")
		neighbour := l.Host.Container(t, addr31)
		host, outside := l.Host.Agent(), l.Outside.Agent()

		for _, tt := range []struct {
			name   string
			from   *lab.Agent
			to     string
			seenAs string
		}{
			{"outside to the host", outside, hostAddr, outsideAddr},
			{"host to its own address", host, hostAddr, hostAddr},
			{"host to the bridge's address", host, bridgeAddr, bridgeAddr},
			{"host to 127.0.0.1", host, "127.0.0.1", bridgeAddr},
			{"host to another of its loopback addresses", host, "127.0.0.9", bridgeAddr},
			{"neighbour to the host", neighbour, hostAddr, bridgeAddr},
			{"neighbour to the bridge's address", neighbour, bridgeAddr, bridgeAddr},
			{"container to the host, and back to itself", server, hostAddr, bridgeAddr},
			{"container to the bridge's address, and back to itself", server, bridgeAddr, bridgeAddr},
		} {
			reaches(t, tt.name, tt.from, tt.to+":80", tt.seenAs)
		}
	})
}

// The article's rules named no destination, so that they caught whatever left
// for port 80, to any machine.
func TestPortsOfOthersUntouched(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		// A third machine, which outside reaches through the host.
		other := l.Machine("other")
		l.Join(l.Host, "eth1", netip.MustParsePrefix("10.0.1.1/24"), other, "eth0", netip.MustParsePrefix("10.0.1.2/24"))
		other.Route(netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr("10.0.1.1"))
		l.Outside.Route(netip.MustParsePrefix("10.0.1.0/24"), netip.MustParseAddr(hostAddr))

		server := l.Host.Container(t, words(both("80:8000"), []string{addr30})...)
		neighbour := l.Host.Container(t, addr31)
		host, outside := l.Host.Agent(), l.Outside.Agent()
		serve(t, server, "0.0.0.0:8000")
		for _, a := range []*lab.Agent{outside, other.Agent(), neighbour} {
			serve(t, a, "0.0.0.0:80")
		}

		reaches(t, "host to outside", host, outsideAddr+":80", hostAddr)
		reaches(t, "host to the neighbour", host, addr31+":80", bridgeAddr)
		reaches(t, "neighbour to outside", neighbour, outsideAddr+":80", hostAddr)
		reaches(t, "container to outside", server, outsideAddr+":80", hostAddr)
		reaches(t, "container to the neighbour", server, addr31+":80", addr30)
		reaches(t, "outside to other", outside, "10.0.1.2:80", outsideAddr)
		server.HeardNothing(t)
	})
}

// Several ports of one container, of one protocol and of both, each lead where
// they should, and nowhere else.
func TestSeveralPorts(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	outside := l.Outside.Agent()
	server := l.Host.Container(t, "-p", "80:8000", "-p", "81:8001", "-p", "82:8000", "-p", "80:8002/udp", addr30)
	for _, s := range [][2]string{{"tcp", "8000"}, {"tcp", "8001"}, {"udp", "8002"}} {
		server.Serve(t, s[0], "0.0.0.0:"+s[1])
	}
	second := l.Host.Container(t, "-p", "83:8000", addr31)
	second.Serve(t, "tcp", "0.0.0.0:8000")

	for _, tt := range []struct {
		network, port string
		heardBy       *lab.Agent
	}{
		{"tcp", "80", server},
		{"tcp", "81", server},
		{"tcp", "82", server},
		{"udp", "80", server},
		{"tcp", "83", second},
	} {
		if _, err := outside.Ask(tt.network, hostAddr+":"+tt.port); err != nil {
			t.Error(err)
		} else if _, err := tt.heardBy.Heard(); err != nil {
			t.Errorf("%s %s led elsewhere: %v", tt.network, tt.port, err)
		}
	}
	for _, tt := range [][2]string{{"udp", "81"}, {"udp", "83"}, {"tcp", "84"}} {
		if _, err := outside.AskBriefly(tt[0], hostAddr+":"+tt[1]); err == nil {
			t.Errorf("%s %s was answered, and is not published", tt[0], tt[1])
		}
	}
	server.HeardNothing(t)
	second.HeardNothing(t)
}

// A port that is published on one address of the host is there alone.
func TestPublishedOnOneAddress(t *testing.T) {
	t.Parallel()
	onEveryHost(t, func(t *testing.T, l *lab.Lab) {
		server := l.Host.Container(t, words(
			both(hostAddr+":80:8000"), both("127.0.0.1:81:8000"), both(bridgeAddr+":82:8000"),
			[]string{addr30})...)
		serve(t, server, "0.0.0.0:8000")
		neighbour := l.Host.Container(t, addr31)
		host, outside := l.Host.Agent(), l.Outside.Agent()

		reaches(t, "outside", outside, hostAddr+":80", outsideAddr)
		reaches(t, "host", host, hostAddr+":80", hostAddr)
		reaches(t, "neighbour", neighbour, hostAddr+":80", bridgeAddr)
		reaches(t, "container", server, hostAddr+":80", bridgeAddr)
		closed(t, "host", host, "127.0.0.1:80")
		closed(t, "host", host, bridgeAddr+":80")
		closed(t, "neighbour", neighbour, bridgeAddr+":80")

		reaches(t, "host", host, "127.0.0.1:81", bridgeAddr)
		closed(t, "host", host, "127.0.0.2:81")
		closed(t, "host", host, hostAddr+":81")
		closed(t, "outside", outside, hostAddr+":81")
		closed(t, "neighbour", neighbour, hostAddr+":81")
		closed(t, "neighbour", neighbour, bridgeAddr+":81")
		closed(t, "neighbour to its own loopback address", neighbour, "127.0.0.1:81")

		reaches(t, "neighbour", neighbour, bridgeAddr+":82", bridgeAddr)
		closed(t, "outside", outside, hostAddr+":82")
	})
}

// One port of the host, published on different addresses, leads to different
// containers.
func TestOnePortOnTwoAddresses(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	first := l.Host.Container(t, words(both(hostAddr+":80:8000"), []string{addr30})...)
	second := l.Host.Container(t, words(both("127.0.0.1:80:8000"), []string{addr31})...)
	serve(t, first, "0.0.0.0:8000")
	serve(t, second, "0.0.0.0:8000")

	reaches(t, "outside", l.Outside.Agent(), hostAddr+":80", outsideAddr)
	for range networks {
		if _, err := first.Heard(); err != nil {
			t.Errorf("the first container: %v", err)
		}
	}
	reaches(t, "host", l.Host.Agent(), "127.0.0.1:80", bridgeAddr)
	first.HeardNothing(t)
	for range networks {
		if _, err := second.Heard(); err != nil {
			t.Errorf("the second container: %v", err)
		}
	}
}
